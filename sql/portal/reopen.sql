-- Let a locked letter be opened again: nothing is held against its id, and its incidents are closed.
-- Gives the letter, if it was locked, and the incidents of who said that it is not theirs.
-- Parameters: message (the letter's id at the portal, an incident's, or the letter's own), by (who).
WITH meant AS (
    SELECT m.message_id, m.letter_id
    FROM portal_message m
    WHERE m.message_id = :message OR CAST(m.letter_id AS text) = :message
       OR EXISTS (SELECT 1 FROM portal_incident i WHERE i.message_id = m.message_id
                  AND CAST(i.incident_id AS text) = :message)
),
cleared AS (
    UPDATE portal_guess g
    SET wrong = 0, wait_until = '1970-01-01Z', reported_at = NULL, last_at = clock_timestamp()
    FROM meant
    WHERE g.message_id = meant.message_id AND (g.wrong > 0 OR g.reported_at IS NOT NULL)
    RETURNING meant.message_id, meant.letter_id
),
closed AS (
    UPDATE portal_incident i SET closed_at = clock_timestamp(), closed_by = :by
    FROM cleared WHERE i.message_id = cleared.message_id AND i.closed_at IS NULL
    RETURNING i.incident_id, i.kind
)
SELECT letter_id,
    ARRAY(SELECT incident_id FROM closed WHERE kind = 'not_me') AS reported
FROM cleared
