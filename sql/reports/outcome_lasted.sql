-- How long each follow-up lasted, as it was known on a day: to the day on which the patient came back,
-- or to the last on which it is known that they did not (end of what the warehouse told, death, 180
-- days). Counted by day. Parameters as in outcome_cells.sql.
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (o.follow_up_id) o.*
    FROM outcome AS o JOIN follow_up AS f ON f.follow_up_id = o.follow_up_id
    WHERE o.known_on <= :day AND f.campaign = :campaign AND f.counts
      AND f.begins_at >= :began AND f.begins_at < :ended
    ORDER BY o.follow_up_id, o.known_on DESC
),
known AS (
    SELECT f.arm, f.begins_at, o.returned_at,
        least(
            f.begins_at + INTERVAL '4320 hours',
            CAST(:until AS timestamptz),
            CAST(o.died_on AS timestamp) AT TIME ZONE 'UTC'
        ) AS seen_until
    FROM follow_up AS f
    LEFT JOIN newest AS o ON o.follow_up_id = f.follow_up_id
    WHERE f.campaign = :campaign AND f.counts
      AND f.begins_at >= :began AND f.begins_at < :ended AND f.begins_at < CAST(:until AS timestamptz)
)
SELECT
    arm,
    coalesce(returned_at < begins_at + INTERVAL '4320 hours', false) AS came_back,
    greatest(0, CAST(floor(extract(epoch FROM
        CASE WHEN returned_at < begins_at + INTERVAL '4320 hours' THEN returned_at ELSE seen_until END
        - begins_at) / 86400) AS int)) AS day,
    count(*) AS patients
FROM known
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
