-- What people decide before letters leave: a row each, added and never changed. The newest counts.

CREATE TABLE approval (                              -- of exactly this state of one thing
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    text NOT NULL,                        -- 'template/…', 'suite/…', 'sql/…', 'campaign/…', 'cohort/…'
    sha256     text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    decision   text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    decided_by text NOT NULL,
    reason     text NOT NULL,                        -- on what was looked at; names nobody
    run_id     uuid,                                 -- the run that asked; NULL = the command line
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX approval_of ON approval (subject, sha256, number DESC);

ALTER TABLE run ADD COLUMN cohort int CHECK (cohort >= 0);  -- letters due, as `plan` counted them

CREATE TABLE campaign_pause (                        -- somebody holds a campaign, or lets it go on
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign   text NOT NULL,
    paused     boolean NOT NULL,
    decided_by text NOT NULL,
    reason     text NOT NULL,                        -- names nobody
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX campaign_pause_of ON campaign_pause (campaign, number DESC);

CREATE TABLE alert (                                 -- what staff were told, so that it is told once
    kind    text NOT NULL,
    key     text NOT NULL,                           -- run and task, or agreement and how urgent it is
    told_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, key)
);

REVOKE UPDATE, DELETE ON approval, campaign_pause FROM reengage_tasks;
