-- Refusals: who revoked an authorization or opted out, and how far the journal of refusals has been
-- applied. History is kept and never overwritten (PRV-06); a store that comes back from a backup has
-- an older mark and is given all that lies beyond it again (SEC-08).

CREATE TABLE revocation (
    revocation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    patient       text NOT NULL,               -- keyed pseudonym
    purpose       text,                        -- email, marketing, part2; NULL = every purpose
    revoked_at    timestamptz NOT NULL,        -- ends all forms of the purpose signed up to then
    received_at   timestamptz NOT NULL DEFAULT now(),
    channel       text NOT NULL,               -- how it reached us
    source        text NOT NULL CHECK (source IN ('patient', 'warehouse')),
    UNIQUE NULLS NOT DISTINCT (patient, purpose, revoked_at)
);
CREATE INDEX revocation_by_patient ON revocation (patient);
CREATE INDEX revocation_of_warehouse ON revocation (revoked_at) WHERE source = 'warehouse';
CREATE INDEX opt_out_of_warehouse ON opt_out (at) WHERE channel = 'warehouse';

CREATE TABLE refusal_mark (                    -- one row: how far this store knows the journal
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    applied bigint NOT NULL DEFAULT 0,         -- bytes
    tail    text NOT NULL DEFAULT ''           -- digest of what stands before them: is it the same?
);
INSERT INTO refusal_mark DEFAULT VALUES;

CREATE FUNCTION history_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is a history: rows are added, never changed or removed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON revocation
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON opt_out
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
