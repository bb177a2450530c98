-- How many patients are alive, and how many of them stopped coming, as of the campaign's day: the same
-- as `living` and `inactive` of parts/cohort.sql, which are made for looking at a few patients each.
-- Here everybody is asked about: the visits are read once, in the order of their patients where an
-- index has it, and only who stopped is looked for among the living.
-- Parameters: as_of (date), ends (end of that day) and inactive_since (start of the days without a
-- visit), both instants.
WITH
living AS (
    SELECT p.patient_key
    FROM contract.patient AS p
    WHERE p.death_date IS NULL OR p.death_date > :as_of
),
stopped AS (
    SELECT v.patient_key
    FROM contract.visit AS v
    WHERE v.status <> 'cancelled' AND v.start_at < :ends
    GROUP BY v.patient_key
    HAVING max(v.start_at) < :inactive_since
)
SELECT
    (SELECT count(*) FROM living) AS living,
    (SELECT count(*) FROM living WHERE living.patient_key IN (SELECT patient_key FROM stopped)) AS inactive
