-- Release the ciphertext to a session, once: the second request of a session finds no row.
-- Parameters: token (digest), message_id.
WITH released AS (
    UPDATE portal_session SET released_at = clock_timestamp()
    WHERE token = :token AND message_id = :message_id AND released_at IS NULL
      AND expires_at > clock_timestamp()
    RETURNING message_id
)
UPDATE portal_message m
SET opened_at = coalesce(m.opened_at, clock_timestamp()), openings = m.openings + 1
FROM released
WHERE m.message_id = released.message_id
RETURNING m.sealed, m.patient, m.letter_id
