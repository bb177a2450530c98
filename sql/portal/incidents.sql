-- An incident of every letter that was locked by wrong answers, or reported as not its reader's; also of
-- one whose time is over.
-- Parameters: most (wrong answers that lock).
WITH closed AS (
    SELECT m.message_id, m.letter_id, m.patient, m.recipient, g.reported_at,
        CASE WHEN g.reported_at IS NOT NULL THEN 'not_me' ELSE 'locked' END AS kind
    FROM portal_guess g JOIN portal_message m USING (message_id)
    WHERE g.reported_at IS NOT NULL OR g.wrong >= CAST(:most AS int)
),
new AS (
    INSERT INTO portal_incident (kind, message_id, letter_id, patient)
    SELECT kind, message_id, letter_id, patient FROM closed
    ON CONFLICT (message_id, kind) WHERE closed_at IS NULL DO NOTHING
    RETURNING incident_id, kind, message_id, letter_id, patient
)
SELECT new.incident_id, new.kind, new.letter_id, new.patient, closed.recipient, closed.reported_at
FROM new JOIN closed USING (message_id)
