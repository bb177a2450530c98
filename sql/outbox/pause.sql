-- Pause a run that has no open pause (breaker.py).
-- Parameters: run_id, chunk (whose task asks), until, letters, refused, errors, reasons (JSON).
INSERT INTO pause (run_id, number, chunk, until, letters, refused, errors, reasons)
SELECT CAST(:run_id AS uuid), coalesce(max(number), 0) + 1, :chunk, :until, :letters, :refused,
    :errors, CAST(:reasons AS jsonb)
FROM pause
WHERE run_id = CAST(:run_id AS uuid)
HAVING EXISTS (SELECT FROM letter  -- what is left to send: else there is nothing to ask
               WHERE sender_run_id = CAST(:run_id AS uuid) AND rehearsal IS NULL AND is_open)
ON CONFLICT (run_id) WHERE decision IS NULL DO NOTHING
