-- Runs of the campaign whose data key is no longer needed: settled (or this one, which just was),
-- and every letter composed under their key final or past its last useful instant.
-- Parameters: campaign, now, run_id.
SELECT r.run_id
FROM run r
WHERE r.campaign = :campaign
  AND r.shredded_at IS NULL
  AND (r.finished_at IS NOT NULL OR r.run_id = CAST(:run_id AS uuid))
  AND NOT EXISTS (
      SELECT 1 FROM letter l
      WHERE l.run_id = r.run_id
        AND l.state IN ('composed', 'claimed', 'attempted', 'deferred')
        AND l.expires_at > CAST(:now AS timestamptz)
  )
FOR UPDATE OF r
