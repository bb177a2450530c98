-- Who is alive and who stopped coming, as of the end of the campaign's day.
-- Parameters: as_of (date); ends (end of that day in the campaign's time zone), inactive_since (start
-- of the days without a visit) and booking_ends, all three instants.
-- Asked patient by patient (EXISTS), never as a total over all visits: an audience that begins with a
-- few thousand appointments then costs a few thousand look-ups, however long the history is. Not materialized: only then in parallel.
living AS NOT MATERIALIZED (
    SELECT p.patient_key
    FROM contract.patient AS p
    WHERE p.death_date IS NULL OR p.death_date > :as_of
),
inactive AS NOT MATERIALIZED (
    SELECT living.patient_key
    FROM living
    WHERE EXISTS (
        SELECT 1 FROM contract.visit AS v
        WHERE v.patient_key = living.patient_key AND v.status <> 'cancelled'
          AND v.start_at < :inactive_since
    )
    AND NOT EXISTS (
        SELECT 1 FROM contract.visit AS v
        WHERE v.patient_key = living.patient_key AND v.status <> 'cancelled'
          AND v.start_at >= :inactive_since AND v.start_at < :ends
    )
),
-- Appointments that were already booked on the day and lie in the 30 days after it.
booked AS (
    SELECT a.patient_key, a.appointment_key, a.start_at
    FROM contract.appointment AS a
    WHERE a.status = 'booked'
      AND a.start_at >= :ends
      AND a.start_at < :booking_ends
      AND (a.booked_at IS NULL OR a.booked_at < :ends)
)
