-- Decisions are records that must be kept for six years (164.316(b)(2), 164.530(j)) and then go:
-- a partition a month, which is dropped whole, and a key a month, which is destroyed with it.

ALTER TABLE run
    ADD COLUMN asked         bigint,           -- candidates that the warehouse gave
    ADD COLUMN allowed       bigint,           -- those of them with nothing against them there
    ADD COLUMN loaded_at     timestamptz,      -- of the load that the extraction saw
    ADD COLUMN source_counts jsonb;            -- rows of the source tables, for the norm of later runs

CREATE TABLE norm_accepted (                   -- counts before this instant are the norm no more
    campaign    text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    reason      text NOT NULL
);

ALTER TABLE decision RENAME TO decision_before;
ALTER TABLE decision_before RENAME CONSTRAINT decision_pkey TO decision_before_pkey;

CREATE TABLE decision (
    campaign_date date NOT NULL,
    run_id      uuid NOT NULL REFERENCES run,
    patient     text NOT NULL,                 -- keyed pseudonym
    reasons     text[] NOT NULL,               -- all that apply; empty = eligible
    notes       text[] NOT NULL DEFAULT '{}',  -- what is odd about the data and stops nobody
    arm         text CHECK (arm IN ('write', 'holdout')),
    sealed      bytea,                         -- the patient's key and the rows it rests on
    CHECK ((cardinality(reasons) = 0) = (arm IS NOT NULL)),
    PRIMARY KEY (run_id, patient, campaign_date)
) PARTITION BY RANGE (campaign_date);
CREATE INDEX decision_by_patient ON decision (patient, campaign_date);

CREATE FUNCTION ensure_decision_month(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'decision_' || to_char(day, 'YYYY_MM');
    first date := date_trunc('month', day);
BEGIN
    IF to_regclass(name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(7110004);  -- two runs at once must not both make it
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF decision FOR VALUES FROM (%L) TO (%L)',
                           name, first, CAST(first + INTERVAL '1 month' AS date));
        END IF;
    END IF;
END $$;

SELECT ensure_decision_month(campaign_date)
FROM (SELECT DISTINCT r.campaign_date FROM decision_before d JOIN run r USING (run_id)) AS days;
INSERT INTO decision (campaign_date, run_id, patient, reasons, arm)
SELECT r.campaign_date, d.run_id, d.patient, d.reasons, d.arm
FROM decision_before d JOIN run r USING (run_id);
DROP TABLE decision_before;
