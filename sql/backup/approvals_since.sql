-- Decisions about what campaigns work by, as the ledger's newest entries have them: what was approved or
-- rejected after the backup that the store came back from.
-- Parameters: first (index of the first of these entries).
INSERT INTO approval (subject, sha256, decision, decided_by, reason, run_id, decided_at)
SELECT thing.key, thing.value, said.body ->> 'action', said.body ->> 'actor',
    said.body #>> '{detail,reason}', CAST(said.body #>> '{detail,run}' AS uuid), said.at
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body,
        CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz) AS at
    FROM ledger_entry
    WHERE kind = 'access' AND index >= :first
) AS said
CROSS JOIN LATERAL jsonb_each_text(
    CASE jsonb_typeof(said.body #> '{detail,sha256}')
        WHEN 'object' THEN said.body #> '{detail,sha256}' ELSE '{}' END
) AS thing
WHERE said.body ->> 'of' = 'approvals' AND said.body ->> 'action' IN ('approved', 'rejected')
ORDER BY said.index, thing.key
