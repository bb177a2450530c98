-- Inactive patients with an appointment in the next 30 days: the earliest one of each.
-- Gives the audience columns (see docs/campaigns.md); the period is the appointment itself.
SELECT DISTINCT ON (inactive.patient_key)
    inactive.patient_key,
    booked.appointment_key,
    CAST(NULL AS text) AS medication_key,
    booked.appointment_key AS period_key,
    booked.start_at AS expires_at
FROM inactive
JOIN booked ON booked.patient_key = inactive.patient_key
ORDER BY inactive.patient_key, booked.start_at, booked.appointment_key
