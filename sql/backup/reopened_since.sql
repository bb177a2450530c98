-- Letters at the portal that somebody reopened since the backup that the store came back from, by the
-- ledger's entries: their incidents of before that are closed, and nothing is held against them.
-- Parameters: first (index of the first entry that the backup did not have).
WITH reopened AS (
    SELECT DISTINCT ON (letter_id) letter_id, at, by
    FROM (
        SELECT index, CAST(entry #>> '{body,detail,letter}' AS uuid) AS letter_id,
            CAST(entry ->> 'recorded_at' AS timestamptz) AS at, entry #>> '{body,actor}' AS by
        FROM (
            SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS entry
            FROM ledger_entry WHERE kind = 'access' AND index >= :first
        ) AS read
        WHERE entry #>> '{body,action}' = 'approved' AND entry #>> '{body,of}' = 'reopening'
    ) AS said
    ORDER BY letter_id, index DESC
),
closed AS (
    UPDATE portal_incident i SET closed_at = r.at, closed_by = r.by
    FROM reopened r
    WHERE i.letter_id = r.letter_id AND i.closed_at IS NULL AND i.opened_at <= r.at
)
UPDATE portal_guess g
SET wrong = 0, wait_until = '1970-01-01Z', reported_at = NULL, last_at = clock_timestamp()
FROM reopened r JOIN portal_message m USING (letter_id)
WHERE g.message_id = m.message_id
