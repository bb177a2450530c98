-- What a task asks a person in Airflow, and what became of an alert at each channel: what pages show.

CREATE TABLE question (                              -- a task's newest question
    run_id     uuid NOT NULL,                        -- made of dag_id and dag_run_id; `run` may have no row yet
    task       text NOT NULL,
    map_index  int NOT NULL,                         -- -1 = the task is not mapped
    dag_id     text NOT NULL,
    dag_run_id text NOT NULL,
    subject    text NOT NULL,                        -- one line: counts and titles of ours
    things     jsonb NOT NULL,                       -- name -> SHA-256 of what is to be approved
    asked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    until      timestamptz NOT NULL,                 -- unanswered by then: a no; the run's clock
    answered   boolean NOT NULL DEFAULT false,       -- or asked about no more
    PRIMARY KEY (run_id, task, map_index)
);
CREATE INDEX question_open ON question (until) WHERE NOT answered;

CREATE TABLE alert_channel (                         -- an alert that was offered to a channel
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL,
    key     text NOT NULL,                           -- of `alert`
    about   text NOT NULL,                           -- DAG or vendor, by name
    channel text NOT NULL,                           -- 'e-mail', 'webhook 1': no address
    taken   boolean NOT NULL,
    why     text,                                    -- type of the error, where it was not
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (taken = (why IS NULL))
);
CREATE INDEX alert_channel_at ON alert_channel (at);
REVOKE UPDATE, DELETE ON alert_channel FROM reengage_tasks;

-- How many letters of a campaign were called spam, without a look at all that came back.
CREATE INDEX response_complaint ON response (letter_id) WHERE verdict = 'complaint';

-- What came back of a campaign's letters, by month (UTC): counted as it is read, as a page is no scan.
CREATE TABLE came_back (
    campaign text NOT NULL,
    month    date NOT NULL,                          -- its first day
    what     text NOT NULL CHECK (what IN ('hard', 'soft', 'complaint')),
    items    bigint NOT NULL,
    PRIMARY KEY (campaign, month, what)
);
INSERT INTO came_back
SELECT l.campaign, date_trunc('month', r.at AT TIME ZONE 'UTC')::date,
    CASE WHEN r.kind = 'bounce' THEN r.verdict ELSE r.kind END, count(*)
FROM response r JOIN letter l ON l.letter_id = r.letter_id
WHERE (r.kind = 'bounce' AND r.verdict IN ('hard', 'soft')) OR r.kind = 'complaint'
GROUP BY 1, 2, 3;

CREATE FUNCTION count_what_came_back() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO came_back AS c
    SELECT l.campaign, date_trunc('month', r.at AT TIME ZONE 'UTC')::date,
        CASE WHEN r.kind = 'bounce' THEN r.verdict ELSE r.kind END, count(*)
    FROM added r JOIN letter l ON l.letter_id = r.letter_id
    WHERE (r.kind = 'bounce' AND r.verdict IN ('hard', 'soft')) OR r.kind = 'complaint'
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (campaign, month, what) DO UPDATE SET items = c.items + excluded.items;
    RETURN NULL;
END $$;
CREATE TRIGGER count_what_came_back AFTER INSERT ON response
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_what_came_back();
REVOKE INSERT, UPDATE, DELETE ON came_back FROM reengage_tasks;
CREATE INDEX opt_out_of_campaign ON opt_out (campaign, at);

-- Letters that are unknown, without a look at all letters. A column of its own, as for `is_open`: what a
-- letter goes through on its way changes no index.
ALTER TABLE letter
    ADD COLUMN is_unknown boolean NOT NULL GENERATED ALWAYS AS (state = 'unknown') STORED;
CREATE INDEX letter_unknown ON letter (letter_id) WHERE is_unknown;
