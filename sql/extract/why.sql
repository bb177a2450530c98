-- What the warehouse says of one patient as of a day: was there anything to write about, and what
-- stands against it. The same `standing` as the extraction's.
-- Parameters: patient_key, appointment_key, medication_key, and those of parts/cohort.sql and parts/standing.sql.
WITH
audience AS (
    SELECT
        CAST(:patient_key AS text) AS patient_key,
        CAST(:appointment_key AS text) AS appointment_key,
        CAST(:medication_key AS text) AS medication_key
),
-- include: extract/parts/standing.sql
SELECT
    EXISTS (SELECT 1 FROM contract.patient AS p WHERE p.patient_key = standing.patient_key) AS known,
    (SELECT max(v.start_at) FROM contract.visit AS v
     WHERE v.patient_key = standing.patient_key AND v.status <> 'cancelled' AND v.start_at < :ends
    ) AS last_visit_at,
    (SELECT min(a.start_at) FROM contract.appointment AS a
     WHERE a.patient_key = standing.patient_key AND a.status = 'booked'
       AND a.start_at >= :ends AND a.start_at < :booking_ends
       AND (a.booked_at IS NULL OR a.booked_at < :ends)
    ) AS next_appointment_at,
    (SELECT count(*) FROM contract.medication AS m
     WHERE m.patient_key = standing.patient_key AND m.start_at < :ends
       AND (m.end_at IS NULL OR m.end_at >= :ends)
       AND (m.lapsed_on IS NULL OR m.lapsed_on >= :as_of - 90)
    ) AS prescriptions,
    standing.reasons, standing.evidence, standing.authorization_duplicate
FROM standing
