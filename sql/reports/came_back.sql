-- What came back of a campaign's letters, by month (UTC) of the last year: bounces, complaints, opt-outs.
-- Parameters: campaign, since (an instant).
-- A response or an opt-out counts once; who opted out of every campaign counts for none by itself.
WITH back AS (
    SELECT date_trunc('month', r.at AT TIME ZONE 'UTC')::date AS month,
        CASE WHEN r.kind = 'bounce' THEN r.verdict ELSE r.kind END AS what
    FROM response r JOIN letter l ON l.letter_id = r.letter_id
    WHERE r.at >= :since AND l.campaign = :campaign
      AND ((r.kind = 'bounce' AND r.verdict IN ('hard', 'soft')) OR r.kind = 'complaint')
    UNION ALL
    SELECT date_trunc('month', at AT TIME ZONE 'UTC')::date, 'opt_out'
    FROM opt_out WHERE campaign = :campaign AND at >= :since
)
SELECT month,
    count(*) FILTER (WHERE what = 'hard') AS hard,
    count(*) FILTER (WHERE what = 'soft') AS soft,
    count(*) FILTER (WHERE what = 'complaint') AS complaints,
    count(*) FILTER (WHERE what = 'opt_out') AS opt_outs
FROM back GROUP BY month ORDER BY month DESC
