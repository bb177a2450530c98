-- Letters whose state and whose records contradict each other: the outbox held against the ledger
-- (docs/ledger-format.md, section 2; LOG-12). A rehearsal's letters are recorded nowhere.
--   claimed, attempted, sent, refused, unknown   an intent names the letter
--   sent, refused, unknown, withheld             its newest disclosure has that outcome
--   deferred                                     the same, or it has none
--   everything but sent                          no disclosure says that it was sent
-- A record whose letter is no longer kept contradicts nothing. The pairs are joined as sets, and the
-- ledger is read once for each kind.
-- Parameters: most (letters that are told).
WITH intended AS (
    SELECT DISTINCT CAST(jsonb_array_elements_text(said #> '{body,letters}') AS uuid) AS letter_id
    FROM (
        SELECT CAST(convert_from(entry, 'UTF8') AS jsonb) AS said
        FROM ledger_entry
        WHERE kind = 'intent'
    ) AS intent
),
disclosed AS (
    SELECT index, CAST(said #>> '{body,letter}' AS uuid) AS letter_id,
           said #>> '{body,outcome}' AS outcome
    FROM (
        SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS said
        FROM ledger_entry
        WHERE kind = 'disclosure'
    ) AS disclosure
),
told AS (
    SELECT letter_id, max(index) AS newest, max(index) FILTER (WHERE outcome = 'sent') AS sent,
           (array_agg(outcome ORDER BY index DESC))[1] AS outcome
    FROM disclosed
    GROUP BY letter_id
),
held AS (
    SELECT l.letter_id, l.state, t.newest, t.sent,
           l.state IN ('claimed', 'attempted', 'answered', 'sent', 'refused', 'unknown')
               AND i.letter_id IS NULL AS no_intent,
           l.state IN ('sent', 'refused', 'unknown', 'withheld')
               AND t.outcome IS DISTINCT FROM l.state
               OR l.state = 'deferred' AND t.outcome <> 'deferred' AS other_outcome,
           l.state <> 'sent' AND t.sent IS NOT NULL AS sent_only_there
    FROM letter AS l
    LEFT JOIN intended AS i USING (letter_id)
    LEFT JOIN told AS t USING (letter_id)
    WHERE l.rehearsal IS NULL
)
SELECT letter_id, state, newest, sent, no_intent, other_outcome, sent_only_there
FROM held
WHERE no_intent OR other_outcome OR sent_only_there
ORDER BY letter_id
LIMIT :most
