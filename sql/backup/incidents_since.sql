-- Incidents of letters at the portal since the backup that the store came back from, of letters that came
-- back with it: under the ids that they are recorded by, so that nobody records them again.
-- Parameters: first (index of the first entry that the backup did not have).
INSERT INTO portal_incident (incident_id, kind, message_id, letter_id, patient, opened_at)
SELECT CAST(said.detail ->> 'incident' AS uuid), said.detail ->> 'kind', m.message_id, m.letter_id,
    m.patient, said.recorded_at
FROM (
    -- include: backup/parts/access_since.sql
) AS said
JOIN portal_message m ON m.letter_id = CAST(said.detail ->> 'letter' AS uuid)
WHERE said.of = 'incident' AND said.action = 'recorded'
ORDER BY said.index
ON CONFLICT DO NOTHING
