-- What a finished run comes to: counts only, so that a page of the reports is no scan of its letters.
-- Written when the run is settled, gone when a letter of its day becomes another, made again by who asks.

CREATE TABLE run_report (
    run_id    uuid PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    funnel    jsonb NOT NULL,                  -- the columns of sql/reports/funnel.sql
    transport jsonb NOT NULL                   -- how its letters travelled -> how many
);
CREATE INDEX run_by_opening ON run (opened_at);

-- The pages read the outcomes as the role that can read those alone.
DO $$
BEGIN
    -- Who may not grant it may not repeat it either: an administrator may have done it.
    IF NOT pg_has_role('reengage_tasks', 'reengage_reporter', 'MEMBER') THEN
        GRANT reengage_reporter TO reengage_tasks;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role reengage_reporter may not be granted here'
            USING HINT = 'let an administrator run: GRANT reengage_reporter TO reengage_tasks';
END $$;
