-- Campaigns that somebody paused or let go on after the backup that the store came back from.
-- Parameters: first (index of the first entry that the backup did not have).
INSERT INTO campaign_pause (campaign, paused, decided_by, reason, decided_at)
SELECT substr(said.of, length('campaign/') + 1), action = 'paused', actor, detail ->> 'reason', recorded_at
FROM (
    -- include: backup/parts/access_since.sql
) AS said
WHERE said.of LIKE 'campaign/%' AND action IN ('paused', 'resumed')
ORDER BY index
