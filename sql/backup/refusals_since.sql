-- What patients told us after the backup that the store came back from. A record of an earlier version
-- lacks the instant: where the journal had the same since the backup, it is the journal's, else the
-- record's own, which is never earlier.
-- Parameters: first (index of the first entry that the backup did not have).
WITH backed_up AS (
    SELECT coalesce(max(
        CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz)
    ), '-infinity') AS at
    FROM ledger_entry WHERE index = :first - 1
),
known AS (
    SELECT 'revocation' AS kind, patient, purpose AS scope, revoked_at AS at, received_at
    FROM revocation
    UNION ALL
    SELECT 'opt_out', patient, campaign, at, at FROM opt_out
    UNION ALL
    SELECT 'restriction', patient, NULL, at, received_at FROM restriction
    UNION ALL
    SELECT kind, patient, value, at, received_at FROM preference
)
SELECT said.of AS kind, detail ->> 'patient' AS patient, detail ->> 'scope' AS scope,
    detail ->> 'channel' AS channel, recorded_at AS received_at, 'patient' AS source,
    coalesce(CAST(detail ->> 'at' AS timestamptz), (
        SELECT max(k.at) FROM known k
        WHERE k.kind = said.of AND k.patient = detail ->> 'patient'
          AND k.scope IS NOT DISTINCT FROM detail ->> 'scope'
          AND k.received_at > (SELECT at FROM backed_up) AND k.received_at <= recorded_at
    ), recorded_at) AS at
FROM (
    -- include: backup/parts/access_since.sql
) AS said
WHERE action = 'recorded'
  AND said.of IN ('revocation', 'opt_out', 'restriction', 'language', 'address')
ORDER BY index
