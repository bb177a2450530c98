-- Whether this address was asked a moment ago and may still be confirmed.
-- Parameters: patient, recipient (pseudonyms).
SELECT EXISTS (
    SELECT 1 FROM portal_address
    WHERE patient = :patient AND recipient = :recipient AND token IS NOT NULL
      AND asked_at > clock_timestamp() - INTERVAL '10 minutes')
