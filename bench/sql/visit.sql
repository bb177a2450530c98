-- Ten encounters per patient in the five years up to `until`, in the order of time, as a clinic's
-- system writes them. Parameters: patients, first and last (numbers of encounters), until.
-- At any time 73 % of all patients, by number, are in care, and the numbers move on: about a quarter
-- has left by the last half year. Four in five encounters are those of a regular recall, each
-- patient in turn; the rest falls on anyone in care.
INSERT INTO source.visit (visit_key, patient_key, start_at, end_at, status, service_line)
SELECT
    source.key('v', n),
    source.key('p', 1 + CASE
        WHEN source.share(n, 1) < 0.8
        THEN gone + ((n * 7368787 - gone) % in_care + in_care) % in_care
        ELSE gone + CAST(floor(source.share(n, 2) * in_care) AS bigint)
    END),
    at, at + INTERVAL '30 minutes',
    CASE WHEN source.share(n, 3) < 0.07 THEN 'cancelled' ELSE 'finished' END,
    CASE WHEN source.share(n, 4) < 0.8 THEN 'ambulatory' ELSE 'wellness' END
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
CROSS JOIN LATERAL (SELECT
    CAST(0.73 * CAST(:patients AS bigint) AS bigint) AS in_care,
    CAST(floor(0.027 * n) AS bigint) AS gone,
    CAST(:until AS timestamptz)
        - INTERVAL '1826 days' * (1 - n / (10.0::double precision * CAST(:patients AS bigint))) AS at
) AS time
