-- Add what became of letters to a run's last outcomes, and give those that the breaker looks at
-- (breaker.py). The row is locked until the transaction ends: chunks count one after the other.
-- Parameters: run_id, said (outcomes, oldest first), most (how many are kept).
INSERT INTO watch AS w (run_id, recent)
VALUES (CAST(:run_id AS uuid), CAST(:said AS text[]))
ON CONFLICT (run_id) DO UPDATE
SET recent = (w.recent || excluded.recent)
    [greatest(1, cardinality(w.recent || excluded.recent) - CAST(:most AS int) + 1):]
RETURNING recent
