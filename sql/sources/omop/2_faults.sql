-- The first row that contradicts another row, or itself: where it stands, and what to do.
-- A reference to nothing means that the files are not of one export, or that one of them was cut
-- short: who has no visits in it would seem to have stopped coming. So nothing of it is loaded.
-- `file` is the table; the loader knows its file.
WITH twice AS (
    SELECT 'person' AS file, max(line) AS line, 'person_id' AS field
    FROM person GROUP BY person_id HAVING count(*) > 1
    UNION ALL
    SELECT 'death', max(line), 'person_id' FROM death GROUP BY person_id HAVING count(*) > 1
    UNION ALL
    SELECT 'location', max(line), 'location_id' FROM location GROUP BY location_id HAVING count(*) > 1
    UNION ALL
    SELECT 'care_site', max(line), 'care_site_id' FROM care_site GROUP BY care_site_id HAVING count(*) > 1
    UNION ALL
    SELECT 'visit_occurrence', max(line), 'visit_occurrence_id'
    FROM visit_occurrence GROUP BY visit_occurrence_id HAVING count(*) > 1
    UNION ALL
    SELECT 'drug_exposure', max(line), 'drug_exposure_id'
    FROM drug_exposure GROUP BY drug_exposure_id HAVING count(*) > 1
    UNION ALL
    SELECT 'concept', max(line), 'concept_id' FROM concept GROUP BY concept_id HAVING count(*) > 1
    UNION ALL
    SELECT 'named', max(line), 'person_id' FROM named GROUP BY person_id HAVING count(*) > 1
    UNION ALL
    SELECT 'contact', max(line), 'patient_key' FROM contact GROUP BY patient_key HAVING count(*) > 1
    UNION ALL
    SELECT 'representative', max(line), 'representative_key'
    FROM representative GROUP BY patient_key, representative_key HAVING count(*) > 1
    UNION ALL
    SELECT 'authorization', max(line), 'authorization_key'
    FROM "authorization" GROUP BY authorization_key HAVING count(*) > 1
),
of_person AS (
    SELECT 'death' AS file, line, 'person_id' AS field, CAST(person_id AS text) AS key FROM death
    UNION ALL SELECT 'visit_occurrence', line, 'person_id', CAST(person_id AS text) FROM visit_occurrence
    UNION ALL SELECT 'drug_exposure', line, 'person_id', CAST(person_id AS text) FROM drug_exposure
    UNION ALL SELECT 'named', line, 'person_id', CAST(person_id AS text) FROM named
    UNION ALL SELECT 'contact', line, 'patient_key', patient_key FROM contact
    UNION ALL SELECT 'representative', line, 'patient_key', patient_key FROM representative
    UNION ALL SELECT 'authorization', line, 'patient_key', patient_key FROM "authorization"
    UNION ALL SELECT 'restriction', line, 'patient_key', patient_key FROM restriction
    UNION ALL SELECT 'opt_out', line, 'patient_key', patient_key FROM opt_out
    UNION ALL SELECT 'programme', line, 'patient_key', patient_key FROM programme
),
reference AS (
    SELECT o.file, o.line, o.field, 'person_id in PERSON.csv' AS target
    FROM of_person AS o
    WHERE NOT EXISTS (SELECT 1 FROM person AS p WHERE CAST(p.person_id AS text) = o.key)
    UNION ALL
    SELECT 'person', line, 'location_id', 'location_id in LOCATION.csv'
    FROM person AS p
    WHERE p.location_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM location AS l WHERE l.location_id = p.location_id)
    UNION ALL
    SELECT 'care_site', line, 'location_id', 'location_id in LOCATION.csv'
    FROM care_site AS c
    WHERE c.location_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM location AS l WHERE l.location_id = c.location_id)
    UNION ALL
    SELECT 'visit_occurrence', line, 'care_site_id', 'care_site_id in CARE_SITE.csv'
    FROM visit_occurrence AS v
    WHERE v.care_site_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM care_site AS c WHERE c.care_site_id = v.care_site_id)
    UNION ALL
    SELECT 'drug_exposure', line, 'drug_concept_id', 'concept_id in CONCEPT.csv'
    FROM drug_exposure AS d
    WHERE d.drug_concept_id <> 0  -- OMOP's "no matching concept"
      AND NOT EXISTS (SELECT 1 FROM concept AS c WHERE c.concept_id = d.drug_concept_id)
),
born AS (
    SELECT
        line, year_of_birth, birth_datetime,
        year_of_birth BETWEEN 1850 AND 2199 AS year_is_one,
        month_of_birth IS NULL OR month_of_birth BETWEEN 1 AND 12 AS month_is_one,
        day_of_birth IS NULL OR CASE
            WHEN year_of_birth BETWEEN 1850 AND 2199 AND month_of_birth BETWEEN 1 AND 12
            THEN day_of_birth BETWEEN 1 AND extract(day FROM
                make_date(CAST(year_of_birth AS integer), CAST(month_of_birth AS integer), 1)
                + INTERVAL '1 month - 1 day')
            ELSE day_of_birth BETWEEN 1 AND 31 END AS day_is_one
    FROM person
)
SELECT file, line, field, 'the key is there twice; remove one of the rows' AS fault
FROM twice
UNION ALL
SELECT file, line, field, 'no such ' || target || '; export both files together, and whole'
FROM reference
UNION ALL
SELECT 'person', line, 'year_of_birth', 'no year in 1850 to 2199; mend it' FROM born WHERE NOT year_is_one
UNION ALL
SELECT 'person', line, 'month_of_birth', 'no month, expected 1 to 12; leave it empty where it is not known'
FROM born WHERE NOT month_is_one
UNION ALL
SELECT 'person', line, 'day_of_birth', 'no day of that month; leave it empty where it is not known'
FROM born WHERE NOT day_is_one
UNION ALL
SELECT 'person', line, 'birth_datetime', 'not in year_of_birth; mend one of them'
FROM born WHERE extract(year FROM birth_datetime) <> year_of_birth
UNION ALL
SELECT 'death', d.line, 'death_date', 'before the year of birth; mend one of them'
FROM death AS d JOIN person AS p USING (person_id)
WHERE extract(year FROM d.death_date) < p.year_of_birth
UNION ALL
SELECT 'visit_occurrence', line, 'visit_end_date', 'before visit_start_date; mend one of them'
FROM visit_occurrence WHERE visit_end_date < visit_start_date
UNION ALL
SELECT 'drug_exposure', line, 'days_supply', 'expected 0 to 36600 days; mend it'
FROM drug_exposure WHERE days_supply NOT BETWEEN 0 AND 36600
UNION ALL
SELECT 'drug_exposure', line, 'refills', 'expected 0 to 100; mend it'
FROM drug_exposure WHERE refills NOT BETWEEN 0 AND 100
ORDER BY file DESC, line, field
LIMIT 1
