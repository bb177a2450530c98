-- What became of a try. One that was put off waits, twice as long each time and an hour at most, until
-- it is too old; whatever is over loses its address and words. Gives whether it is tried again.
-- Parameters: mail_id, outcome, most (seconds for which it is tried again).
WITH judged AS (
    SELECT mail_id, CAST(:outcome AS text) = 'deferred'
        AND queued_at > clock_timestamp() - CAST(:most AS int) * INTERVAL '1 second' AS again
    FROM portal_mail WHERE mail_id = :mail_id
)
UPDATE portal_mail m SET
    outcome = :outcome,
    not_before = clock_timestamp() + least(60, power(2, least(tries, 10))) * INTERVAL '1 minute',
    claimed_at = CASE WHEN again THEN NULL ELSE claimed_at END,
    sealed = CASE WHEN again THEN sealed ELSE '' END
FROM judged WHERE m.mail_id = judged.mail_id
RETURNING again
