-- What the warehouse was loaded with, and how far behind the campaign's day its data end.
-- Not bound but set in the session (set_config), as Great Expectations takes a query's text only:
-- reengage.midnight, the end of the campaign's day.
SELECT
    -- `greatest` passes over a null, which would make unknown data fresh.
    CASE WHEN l.data_until IS NOT NULL THEN
        greatest(0, floor(extract(epoch FROM
            CAST(current_setting('reengage.midnight') AS timestamptz) - l.data_until) / 86400))
    END AS stale_days,
    (SELECT count(*) FROM contract.patient) AS patients
FROM contract.load AS l
