-- Why no answer for this id is looked at now: locked, or for how many seconds it is too early.
-- Parameters: message_id, most (wrong answers that lock).
SELECT
    (wrong >= CAST(:most AS int) OR reported_at IS NOT NULL) AS locked,
    greatest(1, CAST(ceil(extract(epoch FROM greatest(wait_until, clock_timestamp()) - clock_timestamp())) AS int)) AS seconds
FROM portal_guess
WHERE message_id = :message_id
