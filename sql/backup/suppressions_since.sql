-- Whom we left alone after the backup that the store came back from, as the ledger's newest entries have
-- it. An entry of an earlier version lacks the instant, and counts from its own.
-- Parameters: first (index of the first entry that the backup did not have).
SELECT CAST(detail ->> 'suppression' AS uuid) AS suppression_id, detail ->> 'reason' AS reason,
    coalesce(CAST(detail ->> 'at' AS timestamptz), recorded_at) AS at,
    detail ->> 'recipient' AS recipient, detail ->> 'patient' AS patient,
    detail ->> 'purpose' AS purpose, CAST(detail ->> 'letter' AS uuid) AS letter_id,
    detail ->> 'status' AS status, detail ->> 'evidence' AS evidence,
    CAST(detail ->> 'expires_at' AS timestamptz) AS expires_at
FROM (
    SELECT index, entry -> 'body' AS body, entry #> '{body,detail}' AS detail,
        CAST(entry ->> 'recorded_at' AS timestamptz) AS recorded_at
    FROM (
        SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS entry
        FROM ledger_entry WHERE kind = 'access' AND index >= :first
    ) AS read
) AS said
WHERE body ->> 'action' = 'suppressed' AND body ->> 'of' = 'suppression'
ORDER BY index
