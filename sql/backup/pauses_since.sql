-- Campaigns that somebody paused or let go on after the backup that the store came back from.
-- Parameters: first (index of the first entry that the backup did not have).
INSERT INTO campaign_pause (campaign, paused, decided_by, reason, decided_at)
SELECT substr(body ->> 'of', length('campaign/') + 1), body ->> 'action' = 'paused',
    body ->> 'actor', body #>> '{detail,reason}', at
FROM (
    SELECT index, CAST(convert_from(entry, 'UTF8') AS jsonb) -> 'body' AS body,
        CAST(CAST(convert_from(entry, 'UTF8') AS jsonb) ->> 'recorded_at' AS timestamptz) AS at
    FROM ledger_entry
    WHERE kind = 'access' AND index >= :first
) AS said
WHERE body ->> 'of' LIKE 'campaign/%' AND body ->> 'action' IN ('paused', 'resumed')
ORDER BY index
