-- Follow-ups of a campaign that began in some months, counted by all that a report tells of them, as it was
-- known on a day. One pass; what a slice or a total says is added up from these cells.
-- Parameters: campaign, began, ended (instants, the second exclusive), day (what became known later is
-- not known). `returned`, `booked`, `kept`: the first of the horizons of 30, 60, 90 and 180 days of 24
-- hours that it lies within, 0 = none.
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (o.follow_up_id) o.*
    FROM outcome AS o JOIN follow_up AS f ON f.follow_up_id = o.follow_up_id
    WHERE o.known_on <= :day AND f.campaign = :campaign AND f.counts
      AND f.begins_at >= :began AND f.begins_at < :ended
    ORDER BY o.follow_up_id, o.known_on DESC
),
known AS (
    SELECT f.arm, f.experiment || '/' || f.variant AS variant, f.begins_at,
        CASE WHEN f.described_on <= :day THEN f.language END AS language,
        CASE WHEN f.described_on <= :day THEN f.age_band END AS age_band,
        CASE WHEN f.described_on <= :day THEN f.service_line END AS service_line,
        o.returned_at, o.booked_at, o.appointment_at, o.kept,
        coalesce(f.written_on <= :day, false) AS written
    FROM follow_up AS f
    LEFT JOIN newest AS o ON o.follow_up_id = f.follow_up_id
    WHERE f.campaign = :campaign AND f.counts
      AND f.begins_at >= :began AND f.begins_at < :ended
)
SELECT
    arm,
    coalesce(language, 'unknown') AS language,
    coalesce(age_band, 'unknown') AS age_band,
    coalesce(service_line, 'unknown') AS service_line,
    coalesce(variant, 'none') AS variant,
    written,
    CASE WHEN returned_at < begins_at + INTERVAL '720 hours' THEN 1
         WHEN returned_at < begins_at + INTERVAL '1440 hours' THEN 2
         WHEN returned_at < begins_at + INTERVAL '2160 hours' THEN 3
         WHEN returned_at < begins_at + INTERVAL '4320 hours' THEN 4 ELSE 0 END AS returned,
    CASE WHEN booked_at < begins_at + INTERVAL '720 hours' THEN 1
         WHEN booked_at < begins_at + INTERVAL '1440 hours' THEN 2
         WHEN booked_at < begins_at + INTERVAL '2160 hours' THEN 3
         WHEN booked_at < begins_at + INTERVAL '4320 hours' THEN 4 ELSE 0 END AS booked,
    CASE WHEN kept IS NOT TRUE THEN 0
         WHEN appointment_at < begins_at + INTERVAL '720 hours' THEN 1
         WHEN appointment_at < begins_at + INTERVAL '1440 hours' THEN 2
         WHEN appointment_at < begins_at + INTERVAL '2160 hours' THEN 3
         WHEN appointment_at < begins_at + INTERVAL '4320 hours' THEN 4 ELSE 0 END AS kept,
    count(*) AS patients
FROM known
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9
