-- Who is alive and who stopped coming, as of the end of the campaign's day in its time zone.
-- Parameters: as_of (date), zone (IANA name), inactive_days.
-- A day counts whole: 180 days up to and including the campaign date begin 179 midnights earlier.
day AS (
    SELECT
        CAST(:as_of AS date) AS as_of,
        CAST(CAST(:as_of AS date) + 1 AS timestamp) AT TIME ZONE :zone AS ends,
        CAST(CAST(:as_of AS date) + 31 AS timestamp) AT TIME ZONE :zone AS booking_ends,
        CAST(CAST(:as_of AS date) + 1 - CAST(:inactive_days AS int) AS timestamp)
            AT TIME ZONE :zone AS inactive_since
),
living AS (
    SELECT p.patient_key
    FROM contract.patient AS p CROSS JOIN day
    WHERE p.death_date IS NULL OR p.death_date > day.as_of
),
last_visit AS (
    SELECT v.patient_key, max(v.start_at) AS start_at
    FROM contract.visit AS v CROSS JOIN day
    WHERE v.start_at < day.ends AND v.status <> 'cancelled'
    GROUP BY v.patient_key
),
inactive AS (
    SELECT living.patient_key
    FROM living
    JOIN last_visit ON last_visit.patient_key = living.patient_key
    CROSS JOIN day
    WHERE last_visit.start_at < day.inactive_since
),
-- Appointments that were already booked on the day and lie in the 30 days after it.
booked AS (
    SELECT a.patient_key, a.appointment_key, a.start_at
    FROM contract.appointment AS a CROSS JOIN day
    WHERE a.status = 'booked'
      AND a.start_at >= day.ends
      AND a.start_at < day.booking_ends
      AND (a.booked_at IS NULL OR a.booked_at < day.ends)
)
