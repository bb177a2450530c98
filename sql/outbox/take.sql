-- Draw tokens for letters that may leave now (pacing.py), from buckets that are filled and locked.
-- Parameters: scopes, taken (one each per bucket).
UPDATE pace
SET tokens = tokens - asked.taken
FROM unnest(CAST(:scopes AS text[]), CAST(:taken AS int[])) AS asked (scope, taken)
WHERE pace.scope = asked.scope AND pace.tokens >= asked.taken
