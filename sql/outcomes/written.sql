-- The day on which it was known that a follow-up's letter left, or may have left.
-- Parameters: campaign, day, ends, begun_since.
UPDATE follow_up AS f
SET written_on = :day
WHERE f.campaign = :campaign AND f.arm = 'write' AND f.written_on IS NULL
  AND f.begins_at > :begun_since AND f.begins_at < :ends
  AND EXISTS (
      SELECT 1 FROM letter AS l
      WHERE l.campaign = f.campaign AND l.patient = f.patient AND l.period = f.period
        AND l.rehearsal IS NULL AND l.state IN ('sent', 'unknown')
  )
