-- Buckets that nobody has drawn on yet: full (pacing.py). One order for everybody.
-- Parameters: scopes, capacities (one each per bucket).
INSERT INTO pace (scope, tokens, refilled_at)
SELECT scope, capacity, clock_timestamp()
FROM unnest(CAST(:scopes AS text[]), CAST(:capacities AS float8[])) AS asked (scope, capacity)
ORDER BY scope
ON CONFLICT DO NOTHING
