-- Until the end of the transaction nobody else speaks of this patient's addresses: of two at once, the
-- later one sees what the first one said. A statement of its own, since one sees what was when it began.
-- Parameters: patient (pseudonym).
SELECT pg_advisory_xact_lock(hashtextextended('portal/address/' || CAST(:patient AS text), 0))
