-- New encounters of one day, on anyone in care. Parameters: first and last (numbers), patients,
-- opens (instant at which the day begins).
INSERT INTO source.visit (visit_key, patient_key, start_at, end_at, status, service_line)
SELECT
    source.key('v', n),
    source.key('p', 1 + CAST(floor((0.27 + 0.73 * source.share(n, 5)) * CAST(:patients AS bigint)) AS bigint)),
    at, at + INTERVAL '30 minutes',
    CASE WHEN source.share(n, 3) < 0.07 THEN 'cancelled' ELSE 'finished' END, 'ambulatory'
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
CROSS JOIN LATERAL (SELECT CAST(:opens AS timestamptz) + source.share(n, 6) * INTERVAL '23 hours' AS at) AS time
