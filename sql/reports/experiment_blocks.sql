-- Patients of an experiment's variants by the day on which their horizon was over, and how many of them
-- had come back by then, as it was known on a day.
-- Parameters: campaign, experiment, hours (of the horizon), day, until.
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (o.follow_up_id) o.*
    FROM outcome AS o JOIN follow_up AS f ON f.follow_up_id = o.follow_up_id
    WHERE o.known_on <= :day AND f.campaign = :campaign AND f.counts AND f.experiment = :experiment
    ORDER BY o.follow_up_id, o.known_on DESC
)
SELECT
    CAST((f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour') AT TIME ZONE 'UTC' AS date) AS over_on,
    f.variant,
    count(*) AS mature,
    count(*) FILTER (WHERE o.returned_at < f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour') AS returned
FROM follow_up AS f
LEFT JOIN newest AS o ON o.follow_up_id = f.follow_up_id
WHERE f.campaign = :campaign AND f.counts AND f.arm = 'write' AND f.experiment = :experiment
  AND f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour' <= CAST(:until AS timestamptz)
GROUP BY 1, 2
ORDER BY 1, 2
