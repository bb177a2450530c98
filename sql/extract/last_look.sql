-- The last look before a claim: may these patients still be written to, and at which address?
-- Parameters: patient_keys, as_of, now, slug, consent_purposes. Reads the warehouse as it is now.
-- What it dates up to a minute ahead of our clock counts as having happened: the clocks differ.
WITH
day AS (
    SELECT CAST(:as_of AS date) AS as_of, CAST(:now AS timestamptz) + INTERVAL '1 minute' AS ends
),
asked AS (
    SELECT unnest(CAST(:patient_keys AS text[])) AS patient_key, CAST(NULL AS text) AS medication_key
),
-- include: extract/parts/standing.sql
SELECT
    patient_key,
    reasons,
    CASE WHEN cardinality(reasons) = 0 THEN recipient END AS recipient
FROM standing
