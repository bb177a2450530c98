-- Who came back. A follow-up begins when a patient's arm is drawn, for who is to be written to and who
-- is held out alike; what the warehouse says of it is kept by the day on which it was known, so that
-- any past day's report can be made again. The schema `report` holds counts and nothing of a patient.

CREATE TABLE follow_up (
    follow_up_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign      text NOT NULL,
    patient       text NOT NULL,               -- keyed pseudonym
    period        text NOT NULL,               -- keyed; the letter's, or of the one that was held back
    run_id        uuid NOT NULL REFERENCES run,
    part          int  NOT NULL,               -- of the run's batch: where the patient's key is sealed
    campaign_date date NOT NULL,
    arm           text NOT NULL CHECK (arm IN ('write', 'holdout')),
    experiment    text,
    variant       text,                        -- of the campaign's templates, drawn with the arm
    begins_at     timestamptz NOT NULL,        -- when the arm was drawn, by the run's clock
    counts        boolean NOT NULL,            -- false: begun within the days of an earlier one that counts
    language      text,                        -- as the warehouse had it when it was first asked
    age_band      text,
    service_line  text,                        -- of the last visit before it began
    described_on  date,                        -- the day on which that was
    written_on    date,                        -- on which it was known that its letter left, or may have
    CHECK ((experiment IS NULL) = (variant IS NULL)),
    UNIQUE (campaign, patient, period)
);
CREATE INDEX follow_up_by_begin ON follow_up (campaign, begins_at);
CREATE INDEX follow_up_by_run ON follow_up (run_id, part);

CREATE TABLE follow_up_key (                   -- which patients these are; gone when no day is left to ask
    run_id uuid NOT NULL REFERENCES run,
    part   int  NOT NULL,
    sealed bytea NOT NULL,                     -- pseudonym -> the warehouse's key, under the month's key
    PRIMARY KEY (run_id, part)
);

CREATE TABLE outcome (                         -- the newest up to a day is what was known on that day
    follow_up_id   bigint NOT NULL REFERENCES follow_up ON DELETE CASCADE,
    known_on       date NOT NULL,
    returned_at    timestamptz,                -- first visit after it began
    booked_at      timestamptz,                -- first booking made after it began
    appointment_at timestamptz,                -- of that booking; a reminder's own appointment
    kept           boolean,                    -- NULL = it lies ahead, or there is none
    died_on        date,
    PRIMARY KEY (follow_up_id, known_on)
);

CREATE TABLE outcome_day (                     -- the days on which the warehouse was asked
    campaign text NOT NULL,
    day      date NOT NULL,
    until    timestamptz NOT NULL,             -- up to when it told everything: end of day, or of its data
    asked    bigint NOT NULL,                  -- follow-ups
    changed  bigint NOT NULL,                  -- of which something new was known
    PRIMARY KEY (campaign, day)
);

CREATE TABLE experiment_stop (                 -- a person ended an experiment: wins over the campaign's file
    campaign   text NOT NULL,
    experiment text NOT NULL,
    kept       text NOT NULL,                  -- the variant that everybody gets from then on
    stopped_at timestamptz NOT NULL,
    stopped_by text NOT NULL,
    because    text NOT NULL,
    PRIMARY KEY (campaign, experiment)
);

-- --- what analysts read; docs/reports.md tells of every column ---

CREATE SCHEMA report;

CREATE TABLE report.published (
    campaign       text NOT NULL,
    cohort         int  NOT NULL,
    as_of          date NOT NULL,
    followed_until timestamptz NOT NULL,
    previous       date,
    PRIMARY KEY (campaign, cohort, as_of)
);

CREATE TABLE report.outcome (
    campaign     text NOT NULL,
    cohort       int  NOT NULL,
    as_of        date NOT NULL,
    slice        text NOT NULL,
    level        text NOT NULL,
    arm          text NOT NULL,
    horizon_days int  NOT NULL,
    counted_on   date,
    enrolled     bigint,
    written      bigint,
    mature       bigint,
    returned     bigint,
    booked       bigint,
    kept         bigint,
    rate         double precision,
    rate_low     double precision,
    rate_high    double precision,
    PRIMARY KEY (campaign, cohort, as_of, slice, level, arm, horizon_days)
);

CREATE TABLE report.effect (
    campaign     text NOT NULL,
    cohort       int  NOT NULL,
    as_of        date NOT NULL,
    slice        text NOT NULL,
    level        text NOT NULL,
    horizon_days int  NOT NULL,
    difference   double precision,
    low          double precision,
    high         double precision,
    needed       double precision,
    needed_low   double precision,
    needed_high  double precision,
    verdict      text NOT NULL CHECK (verdict IN ('more', 'fewer', 'undecided', 'withheld')),
    PRIMARY KEY (campaign, cohort, as_of, slice, level, horizon_days)
);

CREATE TABLE report.return_curve (
    campaign   text NOT NULL,
    cohort     int  NOT NULL,
    as_of      date NOT NULL,
    arm        text NOT NULL,
    day        int  NOT NULL,
    counted_on date NOT NULL,
    returned   double precision NOT NULL,
    low        double precision NOT NULL,
    high       double precision NOT NULL,
    PRIMARY KEY (campaign, cohort, as_of, arm, day)
);

CREATE TABLE report.experiment (
    campaign     text NOT NULL,
    experiment   text NOT NULL,
    as_of        date NOT NULL,
    horizon_days int  NOT NULL,
    variant_a    text NOT NULL,
    variant_b    text NOT NULL,
    counted_on   date,
    mature_a     bigint,
    returned_a   bigint,
    mature_b     bigint,
    returned_b   bigint,
    difference   double precision,
    low          double precision,
    high         double precision,
    evidence     double precision,
    needed       double precision NOT NULL,
    verdict      text NOT NULL CHECK (verdict IN ('a', 'b', 'open', 'withheld')),
    kept         text,
    PRIMARY KEY (campaign, experiment, as_of)
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reengage_reporter') THEN
        CREATE ROLE reengage_reporter NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object THEN NULL;           -- another store of this server, at the same time
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role reengage_reporter is missing and may not be made here'
            USING HINT = 'let an administrator run: CREATE ROLE reengage_reporter NOLOGIN';
END $$;
GRANT USAGE ON SCHEMA report TO reengage_reporter, reengage_tasks;
GRANT SELECT ON ALL TABLES IN SCHEMA report TO reengage_reporter;
GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA report TO reengage_tasks;
-- Stopping an experiment is a person's: the tasks may read it.
REVOKE ALL ON experiment_stop FROM reengage_tasks;
GRANT SELECT ON experiment_stop TO reengage_tasks;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON experiment_stop
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
