-- What the warehouse was loaded with, and how far behind the campaign's day its data end.
-- Not bound but set in the session (set_config), as Great Expectations takes a query's text only:
-- reengage.midnight, the end of the campaign's day.
SELECT
    greatest(0, floor(extract(epoch FROM
        CAST(current_setting('reengage.midnight') AS timestamptz) - l.data_until) / 86400))
        AS stale_days,
    (SELECT count(*) FROM contract.patient) AS patients
FROM contract.load AS l
