-- Patients of an experiment's variants by the day on which their horizon was over, and how many of them
-- had come back by then, as it was known on a day.
-- Parameters: campaign, experiment, hours (of the horizon), day, until.
SELECT
    CAST((f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour') AT TIME ZONE 'UTC' AS date) AS over_on,
    f.variant,
    count(*) AS mature,
    count(*) FILTER (WHERE o.returned_at < f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour') AS returned
FROM follow_up AS f
LEFT JOIN LATERAL (
    SELECT * FROM outcome WHERE outcome.follow_up_id = f.follow_up_id AND outcome.known_on <= :day
    ORDER BY outcome.known_on DESC LIMIT 1
) AS o ON true
WHERE f.campaign = :campaign AND f.counts AND f.arm = 'write' AND f.experiment = :experiment
  AND f.begins_at + CAST(:hours AS int) * INTERVAL '1 hour' <= CAST(:until AS timestamptz)
GROUP BY 1, 2
ORDER BY 1, 2
