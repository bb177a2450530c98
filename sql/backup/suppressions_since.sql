-- Whom we left alone after the backup that the store came back from, as the ledger's newest entries have
-- it: what came back from letters, and who said that a letter is not theirs.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(detail ->> 'suppression' AS uuid) AS suppression_id,
    coalesce(detail ->> 'reason', detail ->> 'kind') AS reason,
    coalesce(CAST(detail ->> 'at' AS timestamptz), recorded_at) AS at,
    detail ->> 'recipient' AS recipient,
    CASE WHEN detail ->> 'recipient' IS NULL THEN detail ->> 'patient' END AS patient,
    CASE WHEN detail ->> 'recipient' IS NULL THEN detail ->> 'purpose' END AS purpose,
    CAST(detail ->> 'letter' AS uuid) AS letter_id, detail ->> 'status' AS status,
    coalesce(detail ->> 'evidence', detail ->> 'incident') AS evidence,
    CAST(detail ->> 'expires_at' AS timestamptz) AS expires_at
FROM (
    SELECT index, body, body -> 'detail' AS detail, recorded_at
    FROM (
        SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body,
            CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz)
                AS recorded_at
        FROM ledger_entry
        WHERE kind = 'access' AND index >= :first
    ) AS entry
) AS said
WHERE (body ->> 'action', body ->> 'of') IN (('suppressed', 'suppression'), ('recorded', 'incident'))
  AND detail ->> 'suppression' IS NOT NULL
ORDER BY index
