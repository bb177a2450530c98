-- Sealed content of letters that nobody can open; the rows stay.
-- Parameters: runs.
UPDATE letter SET sealed = '' WHERE run_id = ANY(CAST(:runs AS uuid[])) AND NOT is_open AND sealed <> ''
