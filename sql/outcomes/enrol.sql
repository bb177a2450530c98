-- Begins the follow-ups of a run: everybody in `drawn` (a temporary table: patient, period, part,
-- experiment, variant) in the arm that the run's decision has. One per campaign, patient and period.
-- Who is held out is enrolled as seldom as the campaign would have written to them: not within the
-- days between two of its letters. It counts when it is the patient's first in the campaign.
-- Parameters: run_id, campaign, day, begins_at, capped_since.
INSERT INTO follow_up
    (campaign, patient, period, run_id, part, campaign_date, arm, experiment, variant, begins_at, counts)
SELECT
    :campaign, drawn.patient, drawn.period, :run_id, drawn.part, :day, d.arm,
    CASE WHEN d.arm = 'write' THEN drawn.experiment END,
    CASE WHEN d.arm = 'write' THEN drawn.variant END,
    :begins_at,
    NOT EXISTS (
        SELECT 1 FROM follow_up AS f
        WHERE f.campaign = :campaign AND f.patient = drawn.patient
    )
FROM drawn
JOIN decision AS d
  ON d.run_id = :run_id AND d.campaign_date = :day AND d.patient = drawn.patient AND d.arm IS NOT NULL
WHERE d.arm = 'write' OR NOT EXISTS (
    SELECT 1 FROM follow_up AS f
    WHERE f.campaign = :campaign AND f.patient = drawn.patient AND f.campaign_date > :capped_since
      AND f.campaign_date < :day
)
ON CONFLICT (campaign, patient, period) DO NOTHING
