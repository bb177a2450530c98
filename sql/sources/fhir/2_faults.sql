-- The first resource that contradicts another one: where it stands, and what to do.
-- A reference to nothing means that the files are not of one export, or that one of them was cut
-- short: who has no visits in it would seem to have stopped coming. So nothing of it is loaded.
WITH everything AS (
    SELECT 'Patient' AS type, file, line, id, id AS patient FROM patients
    UNION ALL SELECT 'RelatedPerson', file, line, id, patient FROM related_persons
    UNION ALL SELECT 'Location', file, line, id, NULL FROM locations
    UNION ALL SELECT 'Encounter', file, line, id, patient FROM encounters
    UNION ALL SELECT 'Appointment', file, line, id, patient FROM appointments
    UNION ALL SELECT 'MedicationRequest', file, line, id, patient FROM medication_requests
    UNION ALL SELECT 'Consent', file, line, id, patient FROM consents
),
-- A resource may be several rows of its line; two lines of one id are two resources.
twice AS (
    SELECT type, max(file) AS file, (array_agg(line ORDER BY file DESC, line DESC))[1] AS line
    FROM everything
    GROUP BY type, id
    HAVING count(*) > 1 AND count(DISTINCT (file, line)) > 1
)
SELECT file, line, type || '.id' AS field, 'the id is there twice; remove one of them' AS fault
FROM twice
UNION ALL
SELECT e.file, e.line,
    CASE e.type WHEN 'Appointment' THEN 'Appointment.participant.actor'
                WHEN 'Encounter' THEN 'Encounter.subject'
                WHEN 'MedicationRequest' THEN 'MedicationRequest.subject'
                ELSE e.type || '.patient' END,
    'no such Patient in the export; export all files together, and whole'
FROM everything AS e
WHERE e.patient IS NOT NULL AND e.type <> 'Patient'
  AND NOT EXISTS (SELECT 1 FROM patients AS p WHERE p.id = e.patient)
UNION ALL
SELECT c.file, c.line, 'Consent.performer',
    'no such RelatedPerson in the export; export RelatedPerson with the others'
FROM consents AS c
WHERE c.representative IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM related_persons AS r WHERE r.id = c.representative)
UNION ALL
SELECT a.file, a.line, 'Appointment.participant.actor',
    'no such Location in the export; export Location with the others, or give a display'
FROM appointments AS a
WHERE a.location IS NOT NULL AND a.location_label IS NULL
  AND NOT EXISTS (SELECT 1 FROM locations AS l WHERE l.id = a.location)
ORDER BY 1, 2, 3
LIMIT 1
