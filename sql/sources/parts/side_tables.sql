-- Tables for what an export of visits lacks: the contract's columns, filled by drawn.sql or by files
-- of the practice's own, indexed by side_indexes.sql, shown by side_views.sql.
CREATE TABLE contact (
    patient_key text NOT NULL, email text, verified_at timestamptz, confidential_channel text,
    confidential_email text, confidential_verified_at timestamptz, bounced_at timestamptz,
    smime_certificate text, reads_authenticated_encryption boolean
);
CREATE TABLE representative (
    patient_key text NOT NULL, representative_key text NOT NULL, authority text NOT NULL, email text,
    verified_at timestamptz, limited_by text, blocked boolean NOT NULL
);
CREATE TABLE "authorization" (
    authorization_key text NOT NULL, patient_key text NOT NULL, purpose text NOT NULL,
    form_version text, information text, discloser text, recipient text, purpose_text text,
    expires_on date, expires_event text, event_at timestamptz, signed_at timestamptz,
    representative_key text, notice_revocation boolean, notice_conditioning boolean,
    notice_redisclosure boolean, compound boolean, conditioned boolean, remuneration_stated boolean,
    known_false boolean, revoked_at timestamptz
);
CREATE TABLE restriction (
    patient_key text NOT NULL, kind text NOT NULL, since timestamptz NOT NULL, until timestamptz
);
CREATE TABLE opt_out (patient_key text NOT NULL, campaign text, at timestamptz NOT NULL);
CREATE TABLE programme (
    patient_key text NOT NULL, category text NOT NULL, since timestamptz NOT NULL, until timestamptz
);
