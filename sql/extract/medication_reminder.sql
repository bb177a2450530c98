-- Inactive patients with a prescription: one each, the latest begun.
-- One that is current, or whose supply ran out without a renewal at most 90 calendar days before
-- (164.501 "marketing" (2)(i), PRV-10); never one that the prescriber ended.
-- A medicine of a sensitive class is chosen only where there is no other, and then excluded
-- downstream with its reason, so that the report shows it. The period is a refill cycle of 30 days.
-- Gives the audience columns (see docs/campaigns.md).
SELECT DISTINCT ON (inactive.patient_key)
    inactive.patient_key,
    CAST(NULL AS text) AS appointment_key,
    m.medication_key,
    m.medication_key || '/' || CAST((:as_of - CAST(m.start_at AS date)) / 30 AS text) AS period_key,
    CAST(NULL AS timestamptz) AS expires_at
FROM inactive
JOIN contract.medication AS m ON m.patient_key = inactive.patient_key
WHERE m.start_at < :ends
  AND (m.end_at IS NULL OR m.end_at >= :ends)
  AND (m.lapsed_on IS NULL OR m.lapsed_on >= :as_of - 90)
ORDER BY inactive.patient_key, (m.sensitive_class IS NOT NULL), m.start_at DESC, m.medication_key
