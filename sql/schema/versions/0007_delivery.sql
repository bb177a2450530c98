-- How fast letters leave, when one is tried again, and when a run pauses itself.

ALTER TABLE letter
    ADD COLUMN tries       int NOT NULL DEFAULT 0,   -- how often a relay has put it off
    ADD COLUMN next_try_at timestamptz,              -- not before, by the run's clock
    ADD COLUMN held_until  timestamptz;              -- its domain has its share until then; store's clock

-- What a letter goes through on its way changes no index: its new versions stay on their page.
ALTER TABLE letter
    ADD COLUMN is_open boolean NOT NULL GENERATED ALWAYS AS
        (state IN ('composed', 'claimed', 'attempted', 'answered', 'deferred')) STORED,
    ADD COLUMN is_withheld boolean NOT NULL GENERATED ALWAYS AS (state = 'withheld') STORED;
ALTER TABLE letter SET (fillfactor = 50);
DROP INDEX letter_open, letter_once, letter_by_patient;
CREATE INDEX letter_open ON letter (campaign) WHERE is_open;
CREATE UNIQUE INDEX letter_once ON letter (campaign, patient, period, rehearsal)
    NULLS NOT DISTINCT WHERE NOT is_withheld;
CREATE INDEX letter_by_patient ON letter (patient, campaign);

CREATE TABLE pace (                                  -- a token bucket each; all workers draw on it
    scope       text PRIMARY KEY,                    -- keyed pseudonym of a vendor, or of it and a domain
    tokens      double precision NOT NULL CHECK (tokens >= 0),
    refilled_at timestamptz NOT NULL                 -- by the store's clock
);

CREATE TABLE watch (                                 -- what became of a run's last letters
    run_id uuid PRIMARY KEY REFERENCES run,
    recent text[] NOT NULL DEFAULT '{}'              -- outcomes, oldest first: 'sent', 'refused rcpt 550 5.1.1'
);

CREATE TABLE pause (                                 -- a run paused itself, until somebody decides
    run_id     uuid NOT NULL REFERENCES run,
    number     int  NOT NULL,                        -- 1 = the first of the run
    chunk      int  NOT NULL,                        -- whose task asks
    opened_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    until      timestamptz NOT NULL,                 -- unanswered by then: rejected; the run's clock
    letters    int  NOT NULL,                        -- that were looked at
    refused    int  NOT NULL,
    errors     int  NOT NULL,
    reasons    jsonb NOT NULL,                       -- stage and codes -> how many letters: no text of a relay
    decision   text CHECK (decision IN ('approved', 'rejected')),
    decided_by text,                                 -- Airflow's name of who answered; NULL = nobody did in time
    decided_at timestamptz,
    CHECK ((decision IS NULL) = (decided_at IS NULL)),
    PRIMARY KEY (run_id, number)
);
CREATE UNIQUE INDEX pause_open ON pause (run_id) WHERE decision IS NULL;  -- one question at a time
