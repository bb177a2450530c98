-- Whom a session speaks for: the letter's patient, and the address that has its link.
-- Parameters: token (digest), message_id, now (the practice's instant).
SELECT m.patient, m.recipient, m.language, s.released_at,
    EXISTS (  -- the patient moved since this letter left, and it did not go where they moved to
        SELECT 1 FROM preference p
        WHERE p.patient = m.patient AND p.kind = 'address' AND p.at > m.left_at
          AND split_part(coalesce(p.value, ''), ':', 2) IS DISTINCT FROM m.recipient
    ) AS moved
FROM portal_session s JOIN portal_message m USING (message_id)
LEFT JOIN portal_guess g USING (message_id)
WHERE s.token = :token AND s.message_id = :message_id AND s.expires_at > clock_timestamp()
  AND m.expires_at > CAST(:now AS timestamptz) AND g.reported_at IS NULL
