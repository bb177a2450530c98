-- On which day after a follow-up began, 0 to 179, how many patients came back, as it was known on a day.
-- Parameters as in outcome_cells.sql.
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (o.follow_up_id) o.follow_up_id, f.arm, f.begins_at, o.returned_at
    FROM outcome AS o JOIN follow_up AS f ON f.follow_up_id = o.follow_up_id
    WHERE o.known_on <= :day AND f.campaign = :campaign AND f.counts
      AND f.begins_at >= :began AND f.begins_at < :ended
    ORDER BY o.follow_up_id, o.known_on DESC
)
SELECT
    arm,
    CAST(floor(extract(epoch FROM returned_at - begins_at) / 86400) AS int) AS day,
    count(*) AS patients
FROM newest
WHERE returned_at < begins_at + INTERVAL '4320 hours'
GROUP BY 1, 2
ORDER BY 1, 2
