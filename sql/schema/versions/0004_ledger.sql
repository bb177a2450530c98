-- The ledger: what was done, in entries that are only ever added (docs/ledger-format.md). The role
-- that writes them may insert and read; triggers stop its owner's mistakes, the tree finds the rest.

CREATE TABLE ledger_entry (
    index   bigint PRIMARY KEY CHECK (index >= 0),
    kind    text NOT NULL,
    subject text NOT NULL,                     -- what it is looked up by: run id, pseudonym, name
    leaf    bytea NOT NULL,                    -- its hash in the tree
    entry   bytea NOT NULL,                    -- canonical JSON
    CHECK (leaf = sha256('\x00'::bytea || entry))
);
CREATE INDEX ledger_by_subject ON ledger_entry (kind, subject, index);

CREATE TABLE ledger_head (                     -- one row: the tree so far, locked by who appends
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    origin      text NOT NULL,                 -- the ledger's name in its checkpoints
    size        bigint NOT NULL,
    peaks       bytea NOT NULL,                -- hashes of the perfect subtrees, largest first
    recorded_at timestamptz,                   -- of the last entry; NULL = it is empty
    mac         bytea NOT NULL                 -- keyed: who has no keyring cannot make one
);
INSERT INTO ledger_head (origin, size, peaks, mac)
VALUES ('reengage/' || gen_random_uuid(), 0, '', '');

CREATE TABLE ledger_mirror (                   -- how far a lineage backend was told
    endpoint text PRIMARY KEY,                 -- digest of its address
    next     bigint NOT NULL,                  -- the first entry that it was not told of
    told_at  timestamptz
);

CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'the head of the ledger is never removed';
    ELSIF NEW.size <= OLD.size OR NEW.origin <> OLD.origin THEN
        RAISE EXCEPTION 'the ledger only grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER ledger_only_grows BEFORE UPDATE ON ledger_head
    FOR EACH ROW EXECUTE FUNCTION ledger_only_grows();
CREATE TRIGGER ledger_never_ends BEFORE DELETE OR TRUNCATE ON ledger_head
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

-- The role of the tasks. It owns nothing, so that it can neither drop a trigger nor change an entry;
-- a partition is made for it by a function of the owner's.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reengage_tasks') THEN
        CREATE ROLE reengage_tasks NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object THEN NULL;           -- another store of this server, at the same time
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role reengage_tasks is missing and may not be made here'
            USING HINT = 'let an administrator run: CREATE ROLE reengage_tasks NOLOGIN';
END $$;
GRANT USAGE ON SCHEMA public TO reengage_tasks;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reengage_tasks;
REVOKE ALL ON ledger_entry, ledger_head, revocation, opt_out FROM reengage_tasks;
GRANT SELECT, INSERT ON ledger_entry, revocation, opt_out TO reengage_tasks;
GRANT SELECT, UPDATE ON ledger_head TO reengage_tasks;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO reengage_tasks;
ALTER FUNCTION ensure_decision_month(date) SECURITY DEFINER SET search_path = public, pg_temp;

-- What a disclosure record names, kept with the letter so that no record needs it opened again.
ALTER TABLE letter
    ADD COLUMN recipient_id     text,          -- keyed pseudonym of the address
    ADD COLUMN authorization_id text;          -- keyed pseudonym of the form that it rests on
