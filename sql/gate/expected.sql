-- Whom the sources would have asked, worked out without the extraction's SQL: with sets instead of
-- one look-up per patient. A wrong exclusion shows as a difference in number, as a wrong inclusion does.
-- Parameters: as_of, zone, inactive_days; kind: what the campaign's letters are about (appointment,
-- refill, calendar). Adds rows to `subject` of session.sql that are not staged.
INSERT INTO subject (patient_key, staged, appointment_key, medication_key)
WITH day AS (
    SELECT
        CAST(:as_of AS date) AS today,
        CAST(CAST(:as_of AS date) + 1 AS timestamp) AT TIME ZONE :zone AS midnight,
        CAST(CAST(:as_of AS date) + 31 AS timestamp) AT TIME ZONE :zone AS month_ends,
        CAST(CAST(:as_of AS date) + 1 - CAST(:inactive_days AS int) AS timestamp)
            AT TIME ZONE :zone AS window_opens
),
upcoming AS (
    SELECT DISTINCT a.patient_key
    FROM contract.appointment a, day
    WHERE a.status = 'booked' AND coalesce(a.booked_at, '-infinity') < day.midnight
      AND a.start_at >= day.midnight AND a.start_at < day.month_ends
),
-- A sensitive medicine only where there is no other.
prescribed AS (
    SELECT m.patient_key,
        coalesce(min(m.medication_key) FILTER (WHERE m.sensitive_class IS NULL),
                 min(m.medication_key)) AS medication_key
    FROM contract.medication m, day
    WHERE CAST(:kind AS text) = 'refill' AND m.start_at < day.midnight
      AND coalesce(m.end_at, 'infinity') >= day.midnight
      AND coalesce(m.lapsed_on, 'infinity') > day.today - 91
    GROUP BY m.patient_key
),
asked_for AS (
    SELECT patient_key, CAST(NULL AS text) AS medication_key FROM upcoming WHERE :kind = 'appointment'
    UNION ALL
    SELECT patient_key, medication_key FROM prescribed
    UNION ALL
    SELECT p.patient_key, NULL FROM contract.patient p
    WHERE :kind = 'calendar' AND p.patient_key NOT IN (SELECT patient_key FROM upcoming)
)
SELECT a.patient_key, false, NULL, a.medication_key
FROM asked_for a
WHERE a.patient_key IN (
        SELECT p.patient_key FROM contract.patient p, day
        WHERE coalesce(p.death_date, 'infinity') > day.today)
  AND a.patient_key IN (
        SELECT v.patient_key FROM contract.visit v, day
        WHERE v.status <> 'cancelled' AND v.start_at < day.window_opens)
  AND a.patient_key NOT IN (
        SELECT v.patient_key FROM contract.visit v, day
        WHERE v.status <> 'cancelled' AND v.start_at >= day.window_opens
          AND v.start_at < day.midnight)
