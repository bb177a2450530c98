-- Temporary tables of the gate's own session: who was staged, and what the sources say of them.
-- They hold keys and yes/no only, and are gone with the session. A row without its key is let in:
-- it is for the suites to say so, not for the table.
CREATE TEMPORARY TABLE staged (
    patient_key text, recipient text, authorization_key text, medicine text
);
CREATE TEMPORARY TABLE cohort (
    patient_key text,
    alive boolean NOT NULL, inactive boolean NOT NULL,
    consented boolean NOT NULL, unrevoked boolean NOT NULL,
    not_opted_out boolean NOT NULL, unrestricted boolean NOT NULL,
    channel_allowed boolean NOT NULL, addressee_right boolean NOT NULL,
    address_verified boolean NOT NULL,
    programme_nameable boolean NOT NULL, medicine_nameable boolean NOT NULL
)
