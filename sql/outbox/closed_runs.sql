-- Runs of the campaign whose data key is no longer needed: settled (or this one, which just was),
-- or failed and given up, as what they would still compose is too late by now; and no letter that
-- was composed under their key is open. Settle closes what is too late to send.
-- Parameters: campaign, run_id, given_up (last day whose letters would all be too late).
SELECT r.run_id
FROM run r
WHERE r.campaign = :campaign
  AND r.shredded_at IS NULL
  AND (r.finished_at IS NOT NULL OR r.run_id = CAST(:run_id AS uuid)
       OR r.campaign_date <= CAST(:given_up AS date))
  AND NOT EXISTS (
      SELECT 1 FROM letter l
      WHERE l.run_id = r.run_id AND l.is_open
  )
FOR UPDATE OF r
