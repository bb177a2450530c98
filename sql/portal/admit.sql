-- The answer was right: nothing is held against the id any more, and a session begins. None where the
-- letter was reported or removed while the answer was looked at.
-- Parameters: message_id, token (digest), minutes.
WITH cleared AS (
    UPDATE portal_guess SET wrong = 0, wait_until = '1970-01-01Z', last_at = clock_timestamp()
    WHERE message_id = :message_id AND reported_at IS NULL
    RETURNING message_id
)
INSERT INTO portal_session (token, message_id, expires_at)
SELECT :token, m.message_id, clock_timestamp() + CAST(:minutes AS int) * INTERVAL '1 minute'
FROM cleared JOIN portal_message m USING (message_id)
RETURNING expires_at
