-- Keep what the relay answered to one letter, and mark the next as attempted: one statement that is
-- its own transaction and does not wait for the disk. It survives the death of the worker, since the
-- server has it; what a crash of the server means is in the header of pipeline/attempts.py.
-- Parameters: claim; answered, outcome, reason, evidence, final_reply (NULL = there was no letter
-- before); next (NULL = no letter follows). Gives the letter that was marked.
WITH quick AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true) AS set
),
answered AS (
    UPDATE letter
    SET state = 'answered', outcome = %(outcome)s, reason = %(reason)s,
        evidence = CAST(%(evidence)s AS jsonb), final_reply = %(final_reply)s
    FROM quick
    WHERE letter_id = %(answered)s AND claim = %(claim)s
      AND (state = 'attempted' OR (state = 'claimed' AND %(outcome)s IN ('refused', 'deferred')))
)
UPDATE letter
SET state = 'attempted', attempted_at = clock_timestamp()
FROM quick
WHERE letter_id = %(next)s AND claim = %(claim)s AND state = 'claimed'
RETURNING letter_id
