-- The last word on each letter among the newest entries of the ledger: what became of letters after
-- the backup that the store came back from. Of two letters with one Message-ID, one withheld, the
-- other counts.
-- Parameters: first (index of the first of these entries).
WITH said AS (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body
    FROM ledger_entry
    WHERE kind = 'disclosure' AND index >= :first
)
SELECT DISTINCT ON (body ->> 'letter')
    CAST(body ->> 'letter' AS uuid) AS letter_id, body ->> 'message_id' AS message_id,
    body ->> 'outcome' AS outcome, body ->> 'reason' AS reason, body -> 'transport' AS transport
FROM said
ORDER BY body ->> 'letter', index DESC
