-- Letters of which nobody knows whether they left, by how many whole days that has been so.
SELECT extract(day FROM clock_timestamp() - settled_at)::int AS days, count(*) AS letters
FROM letter
WHERE is_unknown AND rehearsal IS NULL
GROUP BY 1
