-- Temporary tables of the gate's own session: whom it asks about, and what the sources say of them.
-- They hold keys and yes/no only, and are gone with the session.
CREATE TEMPORARY TABLE subject (
    patient_key text, staged boolean NOT NULL,
    recipient text, authorization_key text, appointment_key text, medication_key text
);
CREATE TEMPORARY TABLE cohort (
    patient_key text, staged boolean NOT NULL,
    alive boolean NOT NULL, plausible boolean NOT NULL, inactive boolean NOT NULL,
    subject_stands boolean NOT NULL, consented boolean NOT NULL, form_sound boolean NOT NULL,
    not_opted_out boolean NOT NULL, unrestricted boolean NOT NULL, channel_allowed boolean NOT NULL,
    addressee_right boolean NOT NULL, address_verified boolean NOT NULL,
    address_reached boolean NOT NULL, programme_allowed boolean NOT NULL,
    medicine_nameable boolean NOT NULL, place_nameable boolean NOT NULL
);
CREATE TEMPORARY TABLE source (
    stale_days bigint, patients bigint NOT NULL, visits bigint NOT NULL,
    authorizations bigint NOT NULL, revocations bigint NOT NULL,
    opt_outs bigint NOT NULL, restrictions bigint NOT NULL
)
