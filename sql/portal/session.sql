-- Whom a session speaks for: the letter's patient, and the address that has its link.
-- Parameters: token (digest), message_id, now (the practice's instant).
SELECT m.patient, m.recipient, m.language, s.released_at
FROM portal_session s JOIN portal_message m USING (message_id)
LEFT JOIN portal_guess g USING (message_id)
WHERE s.token = :token AND s.message_id = :message_id AND s.expires_at > clock_timestamp()
  AND m.expires_at > CAST(:now AS timestamptz) AND g.reported_at IS NULL
