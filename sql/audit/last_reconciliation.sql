-- Events that hold the facet of a reconciliation, the latest first: where the next one begins.
-- Parameters: facet (its name). Bytes are searched, not parsed; the caller reads what is found.
SELECT index AS number, entry
FROM ledger_entry
WHERE kind = 'run_event'
    AND position(convert_to(:facet, 'UTF8') IN entry) > 0
ORDER BY index DESC;
