-- What comes back of letters: each message that was read, once, and what followed from it. Nothing of a
-- message is kept but the kind of it, codes, and a keyed digest.

CREATE TABLE response (
    item      text PRIMARY KEY,                -- keyed digest of the message or event: it is read once
    source    text NOT NULL CHECK (source IN ('imap', 'maildir', 'spool')),
    kind      text NOT NULL CHECK (kind IN
        ('bounce', 'complaint', 'opt_out', 'auto_reply', 'reply', 'forged')),
    verdict   text NOT NULL,                   -- what was made of it (docs/responses.md)
    cause     text,                            -- of a bounce: no_such_user, mailbox_full ...
    status    text,                            -- RFC 3463
    letter_id uuid REFERENCES letter ON DELETE SET NULL, -- which it is about, where it names one of ours
    recipient text,                            -- keyed pseudonym of that letter's address
    at        timestamptz NOT NULL,            -- by the practice's clock
    read_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX response_soft ON response (recipient, at) WHERE verdict = 'soft';
CREATE INDEX response_by_letter ON response (letter_id);

-- A suppression is of an address, or of a patient and one purpose. It ends by itself, by a person, or
-- with a newer confirmation of the address; its row stays.
ALTER TABLE suppression DROP CONSTRAINT suppression_pkey;
ALTER TABLE suppression
    ALTER COLUMN recipient DROP NOT NULL,
    ADD COLUMN suppression_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), -- of letter and reason
    ADD COLUMN patient    text,                -- keyed pseudonym
    ADD COLUMN purpose    text,                -- of the campaigns that are suppressed
    ADD COLUMN letter_id  uuid,                -- what came back
    ADD COLUMN evidence   text,                -- keyed digest of the message that says so
    ADD COLUMN status     text,
    ADD COLUMN expires_at timestamptz,         -- NULL = it does not end by itself
    ADD COLUMN lifted_at  timestamptz,
    ADD COLUMN lifted_by  text,
    ADD CHECK ((recipient IS NULL) <> (patient IS NULL)),
    ADD CHECK ((patient IS NULL) = (purpose IS NULL)),
    ADD CHECK ((lifted_at IS NULL) = (lifted_by IS NULL));
CREATE INDEX suppression_by_recipient ON suppression (recipient) WHERE lifted_at IS NULL;
CREATE INDEX suppression_by_patient ON suppression (patient) WHERE lifted_at IS NULL;

CREATE TABLE suppression_mark (                -- one row: how far this store knows their journal
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    applied bigint NOT NULL DEFAULT 0,         -- bytes
    tail    text NOT NULL DEFAULT ''           -- digest of what stands before them
);
INSERT INTO suppression_mark DEFAULT VALUES;

CREATE TABLE IF NOT EXISTS opt_out_link (      -- what the links of letters lead to
    token       bytea PRIMARY KEY,             -- SHA-256 of 160 bits that only a keyring can make
    patient     text NOT NULL,                 -- keyed pseudonym
    campaign    text NOT NULL,
    valid_until timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS opt_out_link_by_expiry ON opt_out_link (valid_until);

ALTER TABLE letter ADD COLUMN returned text;   -- of one that was sent: it came back, and why
CREATE INDEX letter_by_message_id ON letter (message_id);

-- What was found out is kept: tasks add, and end a suppression; they remove nothing.
REVOKE DELETE ON suppression, response FROM reengage_tasks;
REVOKE UPDATE ON response FROM reengage_tasks;
