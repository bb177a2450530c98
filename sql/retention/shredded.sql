-- Runs that ended with their data key destroyed, long enough ago, of which something sealed is left.
-- Parameters: since.
SELECT run_id FROM run AS r
WHERE shredded_at < :since
    AND (EXISTS (SELECT FROM batch_part AS b WHERE b.run_id = r.run_id)
         OR EXISTS (SELECT FROM letter AS l
                    WHERE l.run_id = r.run_id AND l.sealed <> '' AND NOT l.is_open))
