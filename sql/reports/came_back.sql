-- What came back of a campaign's letters, by month (UTC) of the last year: bounces, complaints, opt-outs.
-- Parameters: campaign, since (the first instant of a month).
-- A response or an opt-out counts once; who opted out of every campaign counts for none by itself.
-- Responses are counted as they are read (table came_back), so that this is no scan of letters.
WITH back AS (
    SELECT month, what, items FROM came_back
    WHERE campaign = :campaign AND month >= (CAST(:since AS timestamptz) AT TIME ZONE 'UTC')::date
    UNION ALL
    SELECT date_trunc('month', at AT TIME ZONE 'UTC')::date, 'opt_out', count(*)
    FROM opt_out WHERE campaign = :campaign AND at >= :since GROUP BY 1
)
SELECT month,
    coalesce(sum(items) FILTER (WHERE what = 'hard'), 0)::bigint AS hard,
    coalesce(sum(items) FILTER (WHERE what = 'soft'), 0)::bigint AS soft,
    coalesce(sum(items) FILTER (WHERE what = 'complaint'), 0)::bigint AS complaints,
    coalesce(sum(items) FILTER (WHERE what = 'opt_out'), 0)::bigint AS opt_outs
FROM back GROUP BY month ORDER BY month DESC
