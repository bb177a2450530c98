-- What became of the patients who are followed, as of the end of a day: first visit, first booking,
-- whether the appointment was kept, death; and, where nobody has asked yet, the group they belong to.
-- One row for each of whom there is anything to tell.
-- Reads the temporary table `followed` (session.sql) and the contract's views, as they are now, up to
-- `ends`. Visits count when they are finished and began after the follow-up did. The appointment is the
-- first that was booked since; for a reminder the one that it is about. It was kept where a visit
-- began on its day. Who has none of it is in no row of ours: nothing is known that was not known.
-- `since` is the earliest beginning: what lies before it is not looked at.
-- Parameters: ends, since (instants), zone.
WITH
returned AS (
    SELECT f.number, min(v.start_at) AS returned_at
    FROM followed AS f
    JOIN contract.visit AS v ON v.patient_key = f.patient_key
    WHERE v.status = 'finished' AND v.start_at > f.begins_at
      AND v.start_at > :since AND v.start_at < :ends
    GROUP BY f.number
),
booked AS (
    SELECT f.number, f.patient_key, CAST(NULL AS timestamptz) AS booked_at, a.start_at AS appointment_at
    FROM followed AS f
    JOIN contract.appointment AS a
      ON a.appointment_key = f.appointment_key AND a.patient_key = f.patient_key
    UNION ALL
    SELECT number, patient_key, booked_at, appointment_at
    FROM (
        SELECT DISTINCT ON (f.number)
            f.number, f.patient_key, a.booked_at, a.start_at AS appointment_at
        FROM followed AS f
        JOIN contract.appointment AS a ON a.patient_key = f.patient_key
        WHERE f.appointment_key IS NULL AND a.start_at > :since
          AND a.booked_at > f.begins_at AND a.booked_at < :ends
        ORDER BY f.number, a.booked_at, a.start_at, a.appointment_key
    ) AS first_booking
),
kept AS (
    SELECT b.number,
        bool_or(CAST(v.start_at AT TIME ZONE :zone AS date)
                = CAST(b.appointment_at AT TIME ZONE :zone AS date)) AS kept
    FROM booked AS b
    JOIN followed AS f ON f.number = b.number
    JOIN contract.visit AS v ON v.patient_key = b.patient_key
    WHERE b.appointment_at < :ends AND v.status = 'finished' AND v.start_at > f.begins_at
      AND v.start_at > :since AND v.start_at < :ends
      AND v.start_at > b.appointment_at - INTERVAL '24 hours'
      AND v.start_at < b.appointment_at + INTERVAL '24 hours'
    GROUP BY b.number
)
SELECT
    f.number,
    r.returned_at,
    b.booked_at,
    b.appointment_at,
    CASE WHEN b.appointment_at < :ends THEN coalesce(k.kept, false) END AS kept,
    CASE WHEN p.death_date < CAST(CAST(:ends AS timestamptz) AT TIME ZONE :zone AS date)
         THEN p.death_date END AS died_on,
    f.describe,
    CASE WHEN f.describe THEN p.language END AS language,
    CASE WHEN f.describe THEN
        CASE WHEN age.years IS NULL THEN NULL WHEN age.years < 18 THEN '0-17' WHEN age.years < 40 THEN '18-39'
             WHEN age.years < 65 THEN '40-64' WHEN age.years < 80 THEN '65-79'
             ELSE '80+' END
    END AS age_band,
    CASE WHEN f.describe THEN (
        SELECT v.service_line FROM contract.visit AS v
        WHERE v.patient_key = f.patient_key AND v.status <> 'cancelled' AND v.start_at <= f.begins_at
        ORDER BY v.start_at DESC, v.visit_key LIMIT 1
    ) END AS service_line
FROM followed AS f
LEFT JOIN contract.patient AS p ON p.patient_key = f.patient_key
CROSS JOIN LATERAL (
    SELECT extract(year FROM age(CAST(f.begins_at AT TIME ZONE :zone AS date), p.birth_date)) AS years
) AS age
LEFT JOIN returned AS r ON r.number = f.number
LEFT JOIN booked AS b ON b.number = f.number
LEFT JOIN kept AS k ON k.number = f.number
WHERE f.describe OR r.number IS NOT NULL OR b.number IS NOT NULL
   OR p.death_date < CAST(CAST(:ends AS timestamptz) AT TIME ZONE :zone AS date)
