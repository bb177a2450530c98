-- How many letters were due on a campaign's last days: one number a day, the day's largest run.
-- campaign; since, day: from, and before; days: how many at most, the newest. Days before somebody
-- accepted other counts (norm_accepted) do not count, nor do runs that asked and got no yes: those
-- have no letters, since `plan` keeps the number with its work or not at all.
SELECT max(cohort)
FROM run
WHERE campaign = :campaign AND mode = 'live' AND gate = 'green' AND cohort IS NOT NULL
  AND campaign_date >= :since AND campaign_date < :day
  AND opened_at > coalesce(
      (SELECT max(accepted_at) FROM norm_accepted WHERE campaign = :campaign), '-infinity')
GROUP BY campaign_date
ORDER BY campaign_date DESC
LIMIT :days
