-- Let a locked letter be opened again: nothing is held against its id, and its incidents are closed.
-- Gives the letter, if it was locked or has an incident, and whether its content is still there.
-- Parameters: message (the letter's id at the portal, an incident's, or the letter's own), by (who),
-- now (the practice's instant).
WITH meant AS (
    SELECT message_id, letter_id FROM portal_message
    WHERE message_id = :message OR CAST(letter_id AS text) = :message
    UNION
    SELECT message_id, letter_id FROM portal_incident  -- its guesses, and the letter, may be gone by now
    WHERE message_id = :message OR CAST(letter_id AS text) = :message
       OR CAST(incident_id AS text) = :message
),
cleared AS (
    UPDATE portal_guess g
    SET wrong = 0, wait_until = '1970-01-01Z', reported_at = NULL, last_at = clock_timestamp()
    FROM meant
    WHERE g.message_id = meant.message_id AND (g.wrong > 0 OR g.reported_at IS NOT NULL)
    RETURNING g.message_id
),
closed AS (
    UPDATE portal_incident i SET closed_at = clock_timestamp(), closed_by = :by
    FROM meant WHERE i.message_id = meant.message_id AND i.closed_at IS NULL
    RETURNING i.message_id
)
SELECT letter_id, EXISTS (SELECT 1 FROM portal_message m WHERE m.message_id = meant.message_id
    AND m.expires_at > CAST(:now AS timestamptz) AND m.sealed <> '') AS opens
FROM meant
WHERE message_id IN (SELECT message_id FROM cleared UNION SELECT message_id FROM closed)
