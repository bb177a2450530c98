-- Sealed batches that nobody can open.
-- Parameters: runs.
DELETE FROM batch_part WHERE run_id = ANY(CAST(:runs AS uuid[]))
