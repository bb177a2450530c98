-- An address is confirmed by who reads its mail, once, within three days.
-- Parameters: token (digest).
UPDATE portal_address SET confirmed_at = clock_timestamp(), token = NULL
WHERE token = :token AND asked_at > clock_timestamp() - INTERVAL '3 days'
RETURNING patient, recipient, instead_of
