-- Letters at the portal that somebody reopened since the backup that the store came back from: their
-- incidents of before that are closed, and nothing is held against them.
-- Parameters: first (index of the first entry that the backup did not have).
WITH reopened AS (
    SELECT DISTINCT ON (letter_id) CAST(detail ->> 'letter' AS uuid) AS letter_id, recorded_at, actor
    FROM (
        -- include: backup/parts/access_since.sql
    ) AS said
    WHERE said.of = 'reopening' AND action = 'approved'
    ORDER BY letter_id, index DESC
),
closed AS (
    UPDATE portal_incident i SET closed_at = r.recorded_at, closed_by = r.actor
    FROM reopened r
    WHERE i.letter_id = r.letter_id AND i.closed_at IS NULL AND i.opened_at <= r.recorded_at
)
UPDATE portal_guess g
SET wrong = 0, wait_until = '1970-01-01Z', reported_at = NULL, last_at = clock_timestamp()
FROM reopened r JOIN portal_message m USING (letter_id)
WHERE g.message_id = m.message_id
