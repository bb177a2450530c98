-- The ledger's run events that the audit reads: what was appended since an index, and, of runs that
-- Airflow names, whatever the ledger has.
-- Parameters: first, size (indices; what is appended meanwhile is for the next time), runs (run ids).
-- The bytes are read by us, not by the database: its jsonb refuses what JSON allows.
SELECT index AS number, subject AS run_id, entry
FROM ledger_entry
WHERE kind = 'run_event'
    AND index < :size
    AND (index >= :first OR subject = ANY(CAST(:runs AS text[])))
ORDER BY index;
