-- Whom we left alone after the backup that the store came back from. A record of an earlier version lacks
-- the instant, and counts from its own.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(detail ->> 'suppression' AS uuid) AS suppression_id, detail ->> 'reason' AS reason,
    coalesce(CAST(detail ->> 'at' AS timestamptz), recorded_at) AS at,
    detail ->> 'recipient' AS recipient, detail ->> 'patient' AS patient,
    detail ->> 'purpose' AS purpose, CAST(detail ->> 'letter' AS uuid) AS letter_id,
    detail ->> 'status' AS status, detail ->> 'evidence' AS evidence,
    CAST(detail ->> 'expires_at' AS timestamptz) AS expires_at
FROM (
    -- include: backup/parts/access_since.sql
) AS said
WHERE said.of = 'suppression' AND action = 'suppressed'
ORDER BY index
