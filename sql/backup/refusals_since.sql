-- What patients told us after the backup that the store came back from, as the ledger's newest entries
-- have it. An entry of an earlier version lacks the instant: its own counts, which is never earlier.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT body ->> 'of' AS kind, body #>> '{detail,patient}' AS patient,
    body #>> '{detail,scope}' AS scope, body #>> '{detail,channel}' AS channel,
    coalesce(CAST(body #>> '{detail,at}' AS timestamptz), recorded_at) AS at,
    recorded_at AS received_at, 'patient' AS source
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body,
        CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz)
            AS recorded_at
    FROM ledger_entry
    WHERE kind = 'access' AND index >= :first
) AS said
WHERE body ->> 'action' = 'recorded'
  AND body ->> 'of' IN ('revocation', 'opt_out', 'restriction', 'language', 'address')
ORDER BY index
