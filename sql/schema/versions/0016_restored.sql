-- Letters that the ledger or the relay knows and the outbox does not, since the store came back from
-- a backup: composed anew, each takes up what became of it and is never offered again.

CREATE TABLE lost_letter (
    message_id text PRIMARY KEY,               -- made of campaign, patient and period: the same again
    letter_id  uuid,                           -- by the ledger; NULL = only a trace of it is known
    outcome    text NOT NULL CHECK (outcome IN ('sent', 'refused', 'deferred', 'unknown')),
    reason     text,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at   timestamptz                     -- composed again, and recognized
);
REVOKE INSERT, DELETE ON lost_letter FROM reengage_tasks;
