-- How each letter is sealed on its way, and the letters that wait at the portal.

ALTER TABLE run
    ADD COLUMN requires_tls boolean NOT NULL DEFAULT false,  -- the relay offered REQUIRETLS
    ADD COLUMN warnings     text[] NOT NULL DEFAULT '{}';    -- agreements and certificates that end soon

ALTER TABLE letter
    ADD COLUMN seal        text CHECK (seal IN ('smime', 'tls', 'portal')),
    ADD COLUMN seal_basis  text,               -- certificate, requiretls, contract or link
    ADD COLUMN final_reply bytea;              -- the relay's last words, under the month's key

CREATE TABLE portal_message (
    message_id text PRIMARY KEY,               -- 128 random bits, in the link
    letter_id  uuid NOT NULL UNIQUE REFERENCES letter ON DELETE CASCADE,
    patient    text NOT NULL,                  -- keyed pseudonym
    sealed     bytea NOT NULL,                 -- under the link's key, and under the portal's again
    left_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL            -- gone after this instant
);
CREATE INDEX portal_message_by_expiry ON portal_message (expires_at);
