-- May an answer for this id be looked at now? It is counted as wrong before it is looked at, so that a
-- thousand at once are one. The same for an id that no letter has: nobody learns which there are.
-- Parameters: message_id, most (wrong answers that lock), waits (seconds after the 1st, 2nd, ... one).
-- No row: it is locked, or it is too early (standing.sql tells).
INSERT INTO portal_guess AS g (message_id, wrong, wait_until, last_at)
VALUES (:message_id, 1, clock_timestamp() + (CAST(:waits AS int[]))[1] * INTERVAL '1 second', clock_timestamp())
ON CONFLICT (message_id) DO UPDATE SET
    wrong = g.wrong + 1,
    wait_until = clock_timestamp() + (CAST(:waits AS int[]))[g.wrong + 1] * INTERVAL '1 second',
    last_at = clock_timestamp()
WHERE g.wrong < CAST(:most AS int) AND g.wait_until <= clock_timestamp() AND g.reported_at IS NULL
RETURNING g.wrong
