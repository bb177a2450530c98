-- Decisions about what campaigns work by that were made after the backup that the store came back from:
-- what was approved or rejected.
-- Parameters: first (index of the first entry that the backup did not have).
INSERT INTO approval (subject, sha256, decision, decided_by, reason, run_id, decided_at)
SELECT thing.key, thing.value, said.action, said.actor, said.detail ->> 'reason',
    CAST(said.detail ->> 'run' AS uuid), said.recorded_at
FROM (
    -- include: backup/parts/access_since.sql
) AS said
CROSS JOIN LATERAL jsonb_each_text(
    CASE jsonb_typeof(said.detail -> 'sha256') WHEN 'object' THEN said.detail -> 'sha256' ELSE '{}' END
) AS thing
WHERE said.of = 'approvals' AND said.action IN ('approved', 'rejected')
ORDER BY said.index, thing.key
