-- The days of a campaign on which follow-ups may have begun, a run each: the newest live one, which is
-- what an Analyst is shown of the day. `began` is the day (UTC) on which the first of them began; where
-- none did, the campaign's own day. `funnel` is what was kept of the run, null = nothing.
-- Parameters: campaign, since, before (days, the second exclusive).
SELECT run_id, began, finished, funnel FROM (
    SELECT DISTINCT ON (r.campaign_date)
        r.run_id,
        coalesce(min(begun.day) OVER same, r.campaign_date) AS began,
        bool_or(r.finished_at IS NOT NULL OR begun.day IS NOT NULL) OVER same AS counts,
        r.finished_at IS NOT NULL AS finished,
        k.funnel
    FROM run AS r
    LEFT JOIN LATERAL (
        SELECT CAST(f.begins_at AT TIME ZONE 'UTC' AS date) AS day
        FROM follow_up AS f WHERE f.run_id = r.run_id
        ORDER BY f.part LIMIT 1 -- by its index; without an order all follow-ups are read for one
    ) AS begun ON true
    LEFT JOIN run_report AS k ON k.run_id = r.run_id
    WHERE r.campaign = :campaign AND r.mode = 'live' AND r.extracted_at IS NOT NULL
      AND r.campaign_date >= CAST(:since AS date) - 2 AND r.campaign_date < CAST(:before AS date) + 2
    WINDOW same AS (PARTITION BY r.campaign_date)
    ORDER BY r.campaign_date, r.opened_at DESC
) AS days
WHERE counts AND began >= CAST(:since AS date) AND began < CAST(:before AS date)
ORDER BY began
