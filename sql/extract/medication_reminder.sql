-- Inactive patients with a medicine that is currently prescribed: one each, the latest begun.
-- Only of active prescriptions, neither ended nor lapsed by the end of the day: stricter than the 90
-- calendar days after a lapse that PRV-10 allows.
-- A medicine of a sensitive class is chosen only where there is no other, and then excluded
-- downstream with its reason, so that the report shows it. The period is a refill cycle of 30 days.
-- Gives the audience columns (see docs/campaigns.md).
SELECT DISTINCT ON (inactive.patient_key)
    inactive.patient_key,
    CAST(NULL AS text) AS appointment_key,
    m.medication_key,
    m.medication_key || '/' || CAST((day.as_of - CAST(m.start_at AS date)) / 30 AS text) AS period_key,
    CAST(NULL AS timestamptz) AS expires_at
FROM inactive
JOIN contract.medication AS m ON m.patient_key = inactive.patient_key
CROSS JOIN day
WHERE m.start_at < day.ends
  AND (m.end_at IS NULL OR m.end_at >= day.ends)
  AND (m.lapsed_on IS NULL OR m.lapsed_on >= day.as_of)
ORDER BY inactive.patient_key, (m.sensitive_class IS NOT NULL), m.start_at DESC, m.medication_key
