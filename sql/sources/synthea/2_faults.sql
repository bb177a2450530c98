-- The first row that contradicts another row, or itself: where it stands, and what to do.
-- A reference to nothing means that the files are not of one export, or that one of them was cut
-- short: who has no visits in it would seem to have stopped coming. So nothing of it is loaded.
-- A prescription that stops before it starts is no fault: Synthea writes some, none is ever current.
WITH twice AS (
    SELECT 'patients.csv' AS file, max(line) AS line
    FROM patients GROUP BY id HAVING count(*) > 1
    UNION ALL
    SELECT 'organizations.csv', max(line)
    FROM organizations GROUP BY id HAVING count(*) > 1
    UNION ALL
    SELECT 'encounters.csv', max(line)
    FROM encounters GROUP BY id HAVING count(*) > 1
),
reference AS (
    SELECT 'encounters.csv' AS file, line, 'PATIENT' AS field, 'patients.csv' AS other
    FROM encounters AS e
    WHERE NOT EXISTS (SELECT 1 FROM patients AS p WHERE p.id = e.patient)
    UNION ALL
    SELECT 'encounters.csv', line, 'ORGANIZATION', 'organizations.csv'
    FROM encounters AS e
    WHERE NOT EXISTS (SELECT 1 FROM organizations AS o WHERE o.id = e.organization)
    UNION ALL
    SELECT 'medications.csv', line, 'PATIENT', 'patients.csv'
    FROM medications AS m
    WHERE NOT EXISTS (SELECT 1 FROM patients AS p WHERE p.id = m.patient)
    UNION ALL
    SELECT 'medications.csv', line, 'ENCOUNTER', 'encounters.csv'
    FROM medications AS m
    WHERE NOT EXISTS (SELECT 1 FROM encounters AS e WHERE e.id = m.encounter)
)
SELECT file, line, 'Id' AS field, 'the key is there twice; remove one of the rows' AS fault
FROM twice
UNION ALL
SELECT file, line, field, 'no such Id in ' || other || '; export both files together, and whole'
FROM reference
UNION ALL
SELECT 'patients.csv', line, 'DEATHDATE', 'before BIRTHDATE; mend one of them'
FROM patients WHERE deathdate < birthdate
UNION ALL
SELECT 'encounters.csv', line, 'STOP', 'before START; mend one of them'
FROM encounters WHERE stop < start
ORDER BY file DESC, line, field
LIMIT 1
