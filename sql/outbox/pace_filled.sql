-- Fill the buckets up to now and keep them locked until the transaction ends (pacing.py). The clock
-- is read once all of them are ours: read while waiting it would be an earlier one, and a span would
-- count twice. A clock that was set back fills nothing and goes on from there.
-- Parameters: scopes, capacities (letters), rates (letters per second).
WITH asked AS (
    SELECT scope, capacity, rate
    FROM unnest(CAST(:scopes AS text[]), CAST(:capacities AS float8[]), CAST(:rates AS float8[]))
        AS asked (scope, capacity, rate)
),
held AS MATERIALIZED (
    SELECT p.scope, p.tokens, p.refilled_at
    FROM pace p
    WHERE p.scope = ANY(CAST(:scopes AS text[]))
    ORDER BY p.scope
    FOR UPDATE
),
present AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM (SELECT count(*) FROM held) AS locked
)
UPDATE pace
SET tokens = least(asked.capacity, held.tokens + asked.rate
        * greatest(0, extract(epoch FROM present.now - held.refilled_at))),
    refilled_at = present.now
FROM held JOIN asked USING (scope) CROSS JOIN present
WHERE pace.scope = held.scope
RETURNING pace.scope, pace.tokens
