-- Incidents of letters at the portal since the backup that the store came back from, of letters that came
-- back with it: as the ledger's entries have them, under the same ids, so that nobody records them again.
-- Parameters: first (index of the first entry that the backup did not have).
INSERT INTO portal_incident (incident_id, kind, message_id, letter_id, patient, opened_at)
SELECT CAST(detail ->> 'incident' AS uuid), detail ->> 'kind', m.message_id, m.letter_id, m.patient, at
FROM (
    SELECT index, entry #> '{body,detail}' AS detail,
        CAST(entry ->> 'recorded_at' AS timestamptz) AS at
    FROM (
        SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) AS entry
        FROM ledger_entry WHERE kind = 'access' AND index >= :first
    ) AS read
    WHERE entry #>> '{body,action}' = 'recorded' AND entry #>> '{body,of}' = 'incident'
) AS said
JOIN portal_message m ON m.letter_id = CAST(said.detail ->> 'letter' AS uuid)
ORDER BY index
ON CONFLICT DO NOTHING
