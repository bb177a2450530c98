-- Letters of which nobody knows whether they left, by how many whole days that has been so.
-- One whose instant is not known counts among the oldest, and one of a clock that was ahead as today's.
SELECT coalesce(greatest(extract(day FROM clock_timestamp() - settled_at)::int, 0), 9999) AS days,
       count(*) AS letters
FROM letter
WHERE is_unknown AND rehearsal IS NULL
GROUP BY 1
