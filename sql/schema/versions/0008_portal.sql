-- What patients do for themselves: pick up a letter, opt out by a link, say how they are written to.
-- No column holds a patient's value in the clear, and what authenticates is kept as a digest or
-- under the keyring: who has this database and no keyring can neither try a birth date nor use a link.

ALTER TABLE portal_message
    ADD COLUMN verifier  bytea,                -- keyed, slow hash of the second factor; NULL opens never
    ADD COLUMN recipient text,                 -- keyed pseudonym of the address that has its link
    ADD COLUMN language  text NOT NULL DEFAULT 'en',
    ADD COLUMN opened_at timestamptz,          -- first release
    ADD COLUMN openings  int NOT NULL DEFAULT 0;

CREATE TABLE portal_guess (                    -- of any id that was asked for, whether there is such a letter
    message_id  text PRIMARY KEY CHECK (length(message_id) = 22),
    wrong       int NOT NULL DEFAULT 0,        -- answers since the last right one
    wait_until  timestamptz NOT NULL DEFAULT '1970-01-01Z', -- no answer is looked at before; store's clock
    reported_at timestamptz,                   -- "this was not me"
    last_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX portal_guess_by_age ON portal_guess (last_at);

CREATE TABLE portal_pace (                     -- how often an address of the network asked
    address text NOT NULL,                     -- keyed pseudonym, another each day
    began   timestamptz NOT NULL,              -- of the window
    asked   int NOT NULL,
    PRIMARY KEY (address, began)
);

CREATE TABLE portal_session (                  -- who gave a right answer; kept in their page's memory
    token       bytea PRIMARY KEY,             -- SHA-256 of 256 random bits
    message_id  text NOT NULL REFERENCES portal_message ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL,          -- store's clock
    released_at timestamptz                    -- the ciphertext goes out once
);
CREATE INDEX portal_session_by_message ON portal_session (message_id);

CREATE TABLE opt_out_link (                    -- what the links of letters lead to
    token       bytea PRIMARY KEY,             -- SHA-256 of 160 bits that only a keyring can make
    patient     text NOT NULL,                 -- keyed pseudonym
    campaign    text NOT NULL,
    valid_until timestamptz NOT NULL
);
CREATE INDEX opt_out_link_by_expiry ON opt_out_link (valid_until);

CREATE TABLE restriction (                     -- asked for by the patient, obeyed until the practice decides
    patient     text NOT NULL,                 -- keyed pseudonym
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    channel     text NOT NULL,
    UNIQUE (patient)
);

CREATE TABLE preference (                      -- the newest of a kind counts, before the warehouse's word
    patient     text NOT NULL,                 -- keyed pseudonym
    kind        text NOT NULL CHECK (kind IN ('language', 'address')),
    value       text,                          -- a language; `<address on file>:<address instead>`, both keyed
                                               -- pseudonyms; NULL = as the warehouse says
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    channel     text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (patient, kind, value, at)
);
CREATE INDEX preference_newest ON preference (patient, kind, at DESC);

CREATE TABLE portal_address (                  -- an address that a patient gave
    patient      text NOT NULL,                -- keyed pseudonym
    recipient    text NOT NULL,                -- keyed pseudonym of the address
    instead_of   text NOT NULL,                -- keyed pseudonym of the one on file
    sealed       bytea NOT NULL,               -- the address, under the portal's key
    token        bytea UNIQUE,                 -- SHA-256 of what its confirmation must show; NULL = used
    language     text NOT NULL,
    asked_at     timestamptz NOT NULL,
    confirmed_at timestamptz,
    PRIMARY KEY (patient, recipient)
);

CREATE TABLE portal_mail (                     -- messages without PHI that wait to be sent
    mail_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind      text NOT NULL CHECK (kind IN ('confirm_address', 'incident')),
    sealed    bytea NOT NULL,                  -- address and words, under the portal's key
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at timestamptz,                    -- offered once, whatever came of it
    outcome   text
);

CREATE TABLE portal_incident (
    incident_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind        text NOT NULL CHECK (kind IN ('locked', 'not_me')),
    message_id  text NOT NULL,
    letter_id   uuid NOT NULL REFERENCES letter ON DELETE CASCADE,
    patient     text NOT NULL,                 -- keyed pseudonym
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at   timestamptz,
    closed_by   text
);
CREATE UNIQUE INDEX portal_incident_open ON portal_incident (message_id, kind) WHERE closed_at IS NULL;

CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON restriction
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON preference
    FOR EACH STATEMENT EXECUTE FUNCTION history_is_kept();
REVOKE UPDATE, DELETE ON restriction, preference FROM reengage_tasks;

-- What the ledger's newest record says of the page that is served: all that the portal reads there.
CREATE FUNCTION portal_page_recorded() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,sha256}' FROM ledger_entry
    WHERE kind = 'configuration' AND subject = 'portal/page' ORDER BY index DESC LIMIT 1
$$;

-- The role of the process that faces the internet. It owns nothing, reads no letter, no decision, no
-- run and no entry of the ledger; what it adds to histories it cannot change.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reengage_portal') THEN
        CREATE ROLE reengage_portal NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object THEN NULL;           -- another store of this server, at the same time
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role reengage_portal is missing and may not be made here'
            USING HINT = 'let an administrator run: CREATE ROLE reengage_portal NOLOGIN';
END $$;
GRANT USAGE ON SCHEMA public TO reengage_portal;
GRANT SELECT ON portal_message, opt_out_link, keyring, ledger_head, refusal_mark TO reengage_portal;
GRANT UPDATE (opened_at, openings) ON portal_message TO reengage_portal;
GRANT SELECT, INSERT, UPDATE ON portal_guess, portal_pace, portal_session, portal_address TO reengage_portal;
GRANT SELECT, INSERT ON opt_out, revocation, restriction, preference TO reengage_portal;
GRANT INSERT ON portal_mail, ledger_entry TO reengage_portal;
GRANT UPDATE ON refusal_mark, ledger_head TO reengage_portal;
REVOKE EXECUTE ON FUNCTION portal_page_recorded() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portal_page_recorded() TO reengage_portal;
