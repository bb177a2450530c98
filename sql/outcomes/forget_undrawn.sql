-- Follow-ups that this run began and that have no ground any more: an extraction that was repeated
-- decided otherwise, and no letter of theirs exists. Parameters: run_id.
DELETE FROM follow_up AS f
WHERE f.run_id = :run_id
  AND NOT EXISTS (
      SELECT 1 FROM decision AS d
      WHERE d.run_id = f.run_id AND d.campaign_date = f.campaign_date
        AND d.patient = f.patient AND d.arm IS NOT NULL
  )
  AND NOT EXISTS (
      SELECT 1 FROM letter AS l
      WHERE l.campaign = f.campaign AND l.patient = f.patient AND l.period = f.period
        AND l.rehearsal IS NULL
  )
