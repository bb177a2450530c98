-- Lock patients until the transaction ends, so that two campaigns that claim letters to the same
-- patient at once do so one after the other: the second one's claim (claim.sql), a statement of its
-- own at READ COMMITTED, then sees the first one's and keeps to its cap. One order for everybody, so
-- that nobody waits for who waits for them.
-- Parameters: letter_ids.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT hashtextextended(patient, 0) AS key
    FROM letter
    WHERE letter_id = ANY(CAST(:letter_ids AS uuid[]))
    ORDER BY key
)
SELECT pg_advisory_xact_lock(key) FROM wanted
