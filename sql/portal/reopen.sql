-- Let a locked letter be opened again: nothing is held against its id, its incidents are closed, and its
-- address may be written to where only a report stood against it. Gives the letter, if it was locked.
-- Parameters: message (the letter's id at the portal, an incident's, or the letter's own), by (who).
WITH meant AS (
    SELECT m.message_id, m.letter_id, m.recipient
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
    RETURNING meant.message_id, meant.letter_id, meant.recipient
),
closed AS (
    UPDATE portal_incident i SET closed_at = clock_timestamp(), closed_by = :by
    FROM cleared WHERE i.message_id = cleared.message_id AND i.closed_at IS NULL
),
freed AS (
    DELETE FROM suppression s USING cleared
    WHERE s.recipient = cleared.recipient AND s.reason = 'not_me'
)
SELECT letter_id FROM cleared
