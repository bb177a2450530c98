-- Letters that the ledger or the relay knows and the outbox does not, since the store came back from
-- a backup: composed anew, each takes up what became of it and is never offered again.

CREATE TABLE lost_letter (
    message_id text PRIMARY KEY,               -- made of campaign, patient and period: the same again
    letter_id  uuid,                           -- by the ledger; NULL = only a trace of it is known
    outcome    text NOT NULL CHECK (outcome IN ('sent', 'refused', 'deferred', 'unknown')),
    reason     text,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at   timestamptz                     -- composed again, and recognized
);
REVOKE INSERT, DELETE ON lost_letter FROM reengage_tasks;

-- A month of decisions goes when six years from its last effect are over, by this clock and whoever
-- asks (SEC-19): sixty days for its last letter, as reengage.retention has it.
CREATE FUNCTION drop_decision_month(day date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', day);
BEGIN
    IF CAST(first + INTERVAL '1 month' + INTERVAL '60 days' + INTERVAL '6 years' AS date)
            >= current_date THEN
        RAISE EXCEPTION 'decisions of % must be kept for six years', to_char(first, 'YYYY-MM');
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'decision_' || to_char(first, 'YYYY_MM'));
END $$;
REVOKE EXECUTE ON FUNCTION drop_decision_month(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_decision_month(date) TO reengage_tasks;
