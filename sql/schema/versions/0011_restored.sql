-- A store that came back from a backup knows nothing of what was sent since.

CREATE TABLE restoration (                           -- a person knows of it, and has the campaigns go on
    restoration_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    accepted_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_by     text NOT NULL,
    ledger_size     bigint NOT NULL,                 -- entries that there were then
    checkpoint_size bigint,                          -- the newest outside, where the ledger fell short of it
    checkpoint_root bytea,
    CHECK ((checkpoint_size IS NULL) = (checkpoint_root IS NULL))
);
REVOKE UPDATE, DELETE ON restoration FROM reengage_tasks;

-- Which server, since when it has been the one that writes, which database, and which table in it: a
-- backup that is restored, by whatever means, is in another place than what it was made of.
CREATE FUNCTION store_place() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),  -- the timeline
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        CAST(CAST('incarnation' AS regclass) AS oid))
$$;
ALTER TABLE incarnation ADD COLUMN place text;
UPDATE incarnation SET place = store_place();

-- What a chunk has yet to send, in the order in which it does, however much of it is sent already.
CREATE INDEX letter_to_send ON letter (sender_run_id, chunk, letter_id) WHERE is_open;
