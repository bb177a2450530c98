-- Inactive patients without an appointment in the next 30 days.
-- Gives the audience columns (see docs/campaigns.md); the period is the campaign's calendar span.
SELECT
    inactive.patient_key,
    CAST(NULL AS text) AS appointment_key,
    CAST(NULL AS text) AS medication_key,
    CAST(NULL AS text) AS period_key,
    CAST(NULL AS timestamptz) AS expires_at
FROM inactive
WHERE NOT EXISTS (SELECT 1 FROM booked WHERE booked.patient_key = inactive.patient_key)
