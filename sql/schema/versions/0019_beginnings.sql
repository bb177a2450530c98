-- Every DAG run of a campaign that preflight began, and how preflight ended. `run` has its row from the
-- end of preflight on: what died before, or waits for an answer, is known here only. No words of an error.

CREATE TABLE beginning (
    run_id        uuid PRIMARY KEY,                  -- made of campaign and dag_run_id; `run` may have no row
    campaign      text NOT NULL,
    dag_run_id    text NOT NULL,
    campaign_date date NOT NULL,
    mode          text NOT NULL CHECK (mode IN ('live', 'dry', 'replay')),
    begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),  -- the newest try, or when it went on
    ended         text CHECK (ended IN ('passed', 'asked', 'unanswered', 'rejected', 'retried', 'failed')),
    ended_at      timestamptz,                       -- NULL = it is at work, or was killed
    until         timestamptz,                       -- asked: unanswered by then is a no; the run's clock
    CHECK ((ended IS NULL) = (ended_at IS NULL)),
    CHECK ((until IS NULL) = (ended IS DISTINCT FROM 'asked'))
);
CREATE INDEX beginning_of ON beginning (campaign, begun_at DESC);
