-- An address is confirmed by who reads its mail, once, within three days; not where the patient has
-- spoken of addresses since it was asked for.
-- Parameters: token (digest).
UPDATE portal_address SET confirmed_at = clock_timestamp(), token = NULL
WHERE token = :token AND asked_at > clock_timestamp() - INTERVAL '3 days'
  AND NOT EXISTS (SELECT 1 FROM preference p
                  WHERE p.patient = portal_address.patient AND p.kind = 'address'
                    AND p.at > portal_address.asked_at)
RETURNING patient, recipient, instead_of
