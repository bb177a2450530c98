-- What people decided about whole campaigns, the newest first (parameter most: how many): held and let
-- go on, gone on with after complaints, an experiment ended.
SELECT decided_at AS at, campaign, CASE WHEN paused THEN 'paused' ELSE 'resumed' END AS decision,
    decided_by AS by, reason
FROM campaign_pause
UNION ALL
SELECT seen_at, campaign, 'went on after complaints up to ' || until, seen_by, because
FROM complaints_seen
UNION ALL
SELECT stopped_at, campaign, 'ended ' || experiment || ', kept ' || kept, stopped_by, because
FROM experiment_stop
ORDER BY at DESC
LIMIT :most
