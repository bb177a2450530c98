-- OMOP's tables as the contract sees them, once per load; the raw ones go. Dates and times without a
-- zone are the practice's own. What OMOP has no place for is the practice's, or drawn.
CREATE FUNCTION here(local timestamp) RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT local AT TIME ZONE current_setting('reengage.time_zone')
$$;
ANALYZE person, death, location, care_site, visit_occurrence, drug_exposure, concept, named;

-- A birthday that is not known in full is the latest that it can be: nobody comes of age too early.
CREATE TABLE patients AS
WITH born AS (
    SELECT
        p.person_id,
        make_date(CAST(p.year_of_birth AS integer), CAST(coalesce(p.month_of_birth, 12) AS integer), 1)
            AS month,
        p.day_of_birth AS day, p.birth_datetime
    FROM person AS p
),
spoken AS (
    SELECT
        p.person_id, n.given_name,
        CASE WHEN EXISTS (SELECT 1 FROM provided) THEN n.language
             WHEN p.ethnicity_concept_id = 38003563 THEN 'es' ELSE 'en' END AS language
    FROM person AS p LEFT JOIN named AS n USING (person_id)
)
SELECT
    CAST(p.person_id AS text) AS patient_key,
    coalesce(spoken.given_name, CASE WHEN spoken.language = 'es' THEN 'Paciente' ELSE 'Patient' END)
        AS given_name,
    coalesce(
        CAST(born.birth_datetime AS date),
        born.month + CAST(born.day AS integer) - 1,
        CAST(born.month + INTERVAL '1 month - 1 day' AS date)
    ) AS birth_date,
    d.death_date, spoken.language, s.letters AS state, l.zip, s.time_zone
FROM person AS p
JOIN born USING (person_id)
JOIN spoken USING (person_id)
LEFT JOIN death AS d USING (person_id)
LEFT JOIN location AS l USING (location_id)
LEFT JOIN states AS s ON s.letters = upper(l.state) OR lower(s.name) = lower(l.state);
ALTER TABLE patients ADD PRIMARY KEY (patient_key);

-- Where a visit is: its care site, or the practice as such.
CREATE TABLE visits AS
SELECT
    CAST(v.visit_occurrence_id AS text) AS visit_key,
    CAST(v.person_id AS text) AS patient_key,
    here(v.start) AS start_at,
    here(CASE WHEN v.visit_end_datetime >= v.start THEN v.visit_end_datetime END) AS end_at,
    here(v.start - INTERVAL '30 days') AS booked_at,
    nullif(c.concept_name, 'No matching concept') AS service_line,
    coalesce(
        nullif(concat_ws(', ', site.care_site_name, l.address_1, l.city), ''),
        current_setting('reengage.place')
    ) AS location
FROM (
    SELECT *, coalesce(visit_start_datetime, CAST(visit_start_date AS timestamp)) AS start
    FROM visit_occurrence
) AS v
LEFT JOIN concept AS c ON c.concept_id = v.visit_concept_id
LEFT JOIN care_site AS site ON site.care_site_id = v.care_site_id
LEFT JOIN location AS l ON l.location_id = site.location_id;
ALTER TABLE visits ADD PRIMARY KEY (visit_key);
CREATE INDEX ON visits (patient_key, start_at);
CREATE INDEX ON visits (start_at);

CREATE TEMPORARY TABLE described ON COMMIT DROP AS
SELECT DISTINCT c.concept_name AS description
FROM drug_exposure AS d JOIN concept AS c ON c.concept_id = d.drug_concept_id
WHERE d.drug_concept_id <> 0;
-- include: sources/parts/medicines.sql

-- An exposure that somebody stopped, or the only one of its drug and without a refill, is a course: it
-- is over when its last day is. Any other is a supply, which lapses on its last day. The next exposure
-- of the same drug takes the place of the one before it; in time, it is a renewal, and nothing lapses.
CREATE TABLE prescriptions AS
WITH exposure AS (
    SELECT
        drug_exposure_id, person_id, drug_concept_id, stop_reason IS NOT NULL AS stopped,
        drug_exposure_start_date AS start_date,
        coalesce(drug_exposure_start_datetime, CAST(drug_exposure_start_date AS timestamp)) AS start,
        coalesce(
            drug_exposure_end_date,
            -- At most a century; least() and greatest() pass over a null.
            CASE WHEN days_supply > 0 THEN drug_exposure_start_date - 1
                + CAST(least(days_supply * (1 + coalesce(refills, 0)), 36600) AS integer) END,
            drug_exposure_start_date
        ) AS last_day,
        coalesce(refills, 0) = 0
            AND count(*) OVER (PARTITION BY person_id, drug_concept_id) = 1 AS single
    FROM drug_exposure
    WHERE drug_concept_id <> 0
),
chained AS (
    SELECT
        *, lead(start) OVER chain AS next_start, lead(start_date) OVER chain AS next_date,
        max(last_day) FILTER (WHERE NOT stopped) OVER (chain ROWS UNBOUNDED PRECEDING) AS supplied_until
    FROM exposure
    WINDOW chain AS (
        PARTITION BY person_id, drug_concept_id ORDER BY start, last_day, drug_exposure_id
    )
)
SELECT
    CAST(e.drug_exposure_id AS text) AS medication_key,
    CAST(e.person_id AS text) AS patient_key,
    c.concept_name AS description,
    here(e.start) AS start_at,
    here(least(
        e.next_start,
        CASE WHEN e.stopped OR e.single THEN CAST(e.last_day + 1 AS timestamp) END
    )) AS end_at,
    CASE WHEN NOT e.stopped AND NOT e.single
          AND (e.next_date IS NULL OR e.next_date > e.supplied_until + 1)
         THEN e.supplied_until END AS lapsed_on
FROM chained AS e JOIN concept AS c ON c.concept_id = e.drug_concept_id;
ALTER TABLE prescriptions ADD PRIMARY KEY (medication_key);
CREATE INDEX ON prescriptions (patient_key);

-- Where the practice has files of its own, nobody is drawn.
CREATE TEMPORARY TABLE people ON COMMIT DROP AS
SELECT
    p.patient_key AS id, CAST(NULL AS text) AS first, CAST(NULL AS text) AS last,
    p.birth_date AS born, min(v.start_at) AS first_at,
    min(v.start_at) FILTER (WHERE v.start_at >= of_age(p.birth_date)) AS adult_at
FROM patients AS p JOIN visits AS v USING (patient_key)
WHERE NOT EXISTS (SELECT 1 FROM provided)
GROUP BY p.patient_key;
-- include: sources/parts/drawn.sql
-- include: sources/parts/side_indexes.sql

DROP TABLE person, death, location, care_site, visit_occurrence, drug_exposure, concept, named;
ALTER TABLE contact DROP COLUMN line;
ALTER TABLE representative DROP COLUMN line;
ALTER TABLE "authorization" DROP COLUMN line;
ALTER TABLE restriction DROP COLUMN line;
ALTER TABLE opt_out DROP COLUMN line;
ALTER TABLE programme DROP COLUMN line;
ANALYZE patients, visits, prescriptions;
