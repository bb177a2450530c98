-- A letter whose time is over loses what could be read and tried: `sealed` is empty and `verifier` NULL.
-- The row stays, with pseudonyms only, so that whoever says then that it is not theirs is heard.
DROP INDEX portal_message_by_expiry;
CREATE INDEX portal_message_by_expiry ON portal_message (expires_at) WHERE sealed <> '';

ALTER TABLE portal_mail
    ADD COLUMN tries      int NOT NULL DEFAULT 0,
    ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity'; -- put off: no try before; store's clock
CREATE INDEX portal_mail_waiting ON portal_mail (not_before) WHERE claimed_at IS NULL OR outcome IS NULL;

-- Records that the ledger is owed. What a journal tells a store is in force at once, also where the
-- transaction that wrote it failed before its record; whoever learns of it notes here, in the same
-- transaction, what is to be recorded, and the next one who records pays, once.
CREATE TABLE ledger_owed (
    owed_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what    text NOT NULL,                     -- what it is of, so that who records it in person can say so
    actor   text NOT NULL,
    action  text NOT NULL,
    of      text NOT NULL,
    detail  jsonb NOT NULL                     -- pseudonyms, codes and instants
);
GRANT SELECT, INSERT, DELETE ON ledger_owed TO reengage_portal;
