-- The last word on each letter among the newest entries of the ledger: what became of letters after
-- the backup that the store came back from. Of two letters with one Message-ID, one withheld, the
-- other counts. With the patient, the campaign and, from the intent, the period: all by pseudonym, and
-- what its opt-out link is made of. NULL = its intent is older, and so is its row, or says none.
-- Parameters: first (index of the first of these entries).
WITH said AS (
    SELECT index, kind, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body
    FROM ledger_entry
    WHERE kind IN ('disclosure', 'intent') AND index >= :first
),
intended AS (
    SELECT one.letter, max(said.body -> 'periods' ->> CAST(one.place - 1 AS int)) AS period
    FROM said
    CROSS JOIN LATERAL jsonb_array_elements_text(said.body -> 'letters')
        WITH ORDINALITY AS one (letter, place)
    WHERE said.kind = 'intent'
    GROUP BY one.letter
)
SELECT DISTINCT ON (body ->> 'letter')
    CAST(body ->> 'letter' AS uuid) AS letter_id, body ->> 'message_id' AS message_id,
    body ->> 'outcome' AS outcome, body ->> 'reason' AS reason, body -> 'transport' AS transport,
    body ->> 'patient' AS patient, body ->> 'campaign' AS campaign, intended.period
FROM said
LEFT JOIN intended ON intended.letter = body ->> 'letter'
WHERE kind = 'disclosure'
ORDER BY body ->> 'letter', index DESC
