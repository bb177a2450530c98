-- Runs that paused themselves, what waits first, then the newest (parameter most: how many).
SELECT p.*, r.campaign, r.campaign_date, r.dag_run_id
FROM pause p JOIN run r USING (run_id)
ORDER BY p.decision IS NOT NULL, p.opened_at DESC
LIMIT :most
