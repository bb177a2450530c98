-- The store of the daily run: what was decided, what was sealed, what was sent.
-- No column holds a patient's value in the clear: `patient` is a keyed pseudonym, `sealed` is
-- AES-256-GCM under the data key of the run named beside it.

CREATE TABLE keyring (                         -- whose pseudonyms these are: one keyring for good
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    mark text NOT NULL
);

CREATE TABLE run (
    run_id         uuid PRIMARY KEY,           -- derived from the DAG id and the DAG run id
    campaign       text NOT NULL,
    campaign_date  date NOT NULL,
    mode           text NOT NULL CHECK (mode IN ('live', 'dry', 'replay')),
    dag_run_id     text NOT NULL,
    campaign_sha256 text NOT NULL,             -- digest of the campaign file's content
    vendor         text NOT NULL,
    baa_id         text NOT NULL,              -- the agreement in force when the run began
    living         bigint,                     -- alive on the campaign date, in the warehouse
    inactive       bigint,                     -- seen before, not within the campaign's window
    candidates     bigint,                     -- inactive and asked for by the campaign
    gate           text CHECK (gate IN ('green', 'red')),
    verdicts       jsonb,                      -- suite, type, column, severity, success: no values
    opened_at      timestamptz NOT NULL DEFAULT now(),
    extracted_at   timestamptz,
    finished_at    timestamptz,                -- settled: every letter of the day accounted for
    shredded_at    timestamptz                 -- data key destroyed
);
CREATE INDEX run_by_day ON run (campaign, campaign_date, opened_at);

CREATE TABLE step (
    run_id      uuid NOT NULL REFERENCES run,
    task        text NOT NULL,
    map_index   int  NOT NULL,
    try_number  int  NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('success', 'failed')),
    PRIMARY KEY (run_id, task, map_index, try_number, started_at)
);

CREATE TABLE batch_part (
    run_id      uuid NOT NULL REFERENCES run,
    part        int  NOT NULL,
    patients    int  NOT NULL,
    sealed      bytea NOT NULL,
    PRIMARY KEY (run_id, part)
);

CREATE TABLE decision (
    run_id      uuid NOT NULL REFERENCES run,
    patient     text NOT NULL,                 -- keyed pseudonym
    reasons     text[] NOT NULL,               -- all that apply; empty = eligible
    arm         text CHECK (arm IN ('write', 'holdout')),
    CHECK ((cardinality(reasons) = 0) = (arm IS NOT NULL)),
    PRIMARY KEY (run_id, patient)
);

CREATE TABLE letter (
    letter_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign      text NOT NULL,
    patient       text NOT NULL,               -- keyed pseudonym
    period        text NOT NULL,               -- keyed: the appointment, refill cycle or calendar span
    rehearsal     uuid REFERENCES run (run_id),-- set by a dry run or replay: never sent, blocks nobody
    run_id        uuid NOT NULL REFERENCES run,-- the run that composed it; its data key opens it
    campaign_date date NOT NULL,
    sender_run_id uuid NOT NULL REFERENCES run (run_id), -- the run that is to send it
    chunk         int  NOT NULL,
    state         text NOT NULL DEFAULT 'composed' CHECK (state IN
        ('composed', 'claimed', 'attempted', 'sent', 'refused', 'deferred', 'unknown',
         'withheld', 'rehearsed')),
    reason        text,                        -- why withheld or deferred, or the status of a refusal
    message_id    text NOT NULL,
    sealed        bytea NOT NULL,              -- recipient, patient key and the finished message
    template_sha256 text NOT NULL,
    expires_at    timestamptz NOT NULL,        -- too late to send after this instant
    checked_at    timestamptz,                 -- passed check_letters: no claim without it
    claim         uuid,                        -- which attempt of which task holds it
    claimed_at    timestamptz,
    attempted_at  timestamptz,
    settled_at    timestamptz,
    evidence      jsonb,                       -- TLS version and cipher, peer, reply codes, queue id
    composed_at   timestamptz NOT NULL DEFAULT now()
);
-- Never twice: one letter per campaign, patient and period, whatever is retried or run again. A
-- withheld one was offered to nobody and leaves its place to a letter of another day.
CREATE UNIQUE INDEX letter_once ON letter (campaign, patient, period, rehearsal)
    NULLS NOT DISTINCT WHERE state <> 'withheld';
CREATE INDEX letter_open ON letter (campaign) WHERE state IN ('composed', 'claimed', 'attempted', 'deferred');
CREATE INDEX letter_by_sender ON letter (sender_run_id, chunk);
CREATE INDEX letter_by_run ON letter (run_id);
CREATE INDEX letter_by_patient ON letter (patient, campaign, settled_at);
CREATE INDEX letter_by_day ON letter (campaign, campaign_date);

CREATE TABLE opt_out (
    patient   text NOT NULL,                   -- keyed pseudonym
    campaign  text,                            -- NULL = every campaign
    channel   text NOT NULL,                   -- how it reached us: mailto, phone, desk
    at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (patient, campaign)
);

CREATE TABLE suppression (
    recipient text PRIMARY KEY,                -- keyed pseudonym of the address
    reason    text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);
