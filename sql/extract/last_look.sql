-- The last look before a claim: which of these patients may no longer be written to, and why.
-- Parameters: patient_keys, as_of, now, slug, consent_purposes. Reads the warehouse as it is now.
WITH
day AS (
    SELECT CAST(:as_of AS date) AS as_of, CAST(:now AS timestamptz) AS ends
),
asked AS (
    SELECT unnest(CAST(:patient_keys AS text[])) AS patient_key, CAST(NULL AS text) AS medication_key
),
-- include: extract/parts/standing.sql
SELECT patient_key, reasons FROM standing WHERE cardinality(reasons) > 0
