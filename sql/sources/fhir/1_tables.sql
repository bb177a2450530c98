-- Source tables for a FHIR R4 bulk export: what the contract needs of each resource, and no more.
-- `file` and `line` are where a resource stands, for 2_faults.sql; 3_derived.sql drops them.
CREATE TABLE patients (
    file text, line bigint, updated timestamptz, id text NOT NULL,
    given_name text NOT NULL, birth_date date NOT NULL, death_date date, language text,
    state text, zip text, categories text[] NOT NULL,
    email text, verified_at timestamptz, confidential_channel text, confidential_email text,
    confidential_verified_at timestamptz, bounced_at timestamptz, set_aside text
);
CREATE TABLE related_persons (
    file text, line bigint, updated timestamptz, id text NOT NULL, patient text NOT NULL,
    authority text, email text, verified_at timestamptz, limited_by text, blocked boolean NOT NULL
);
CREATE TABLE locations (
    file text, line bigint, updated timestamptz, id text NOT NULL,
    label text, categories text[] NOT NULL
);
CREATE TABLE encounters (
    file text, line bigint, updated timestamptz, id text NOT NULL, patient text NOT NULL,
    status text NOT NULL, start_at timestamptz NOT NULL, end_at timestamptz, service_line text,
    categories text[] NOT NULL
);
-- One row per patient who takes part; `key` tells them apart.
CREATE TABLE appointments (
    file text, line bigint, updated timestamptz, id text NOT NULL, key text NOT NULL,
    patient text NOT NULL, status text NOT NULL, booked_at timestamptz, start_at timestamptz NOT NULL,
    location text, location_label text, service_line text, categories text[] NOT NULL
);
-- `said` is all that the request says of the medicine, where a sensitive one is looked for.
CREATE TABLE medication_requests (
    file text, line bigint, updated timestamptz, id text NOT NULL, patient text NOT NULL,
    name text NOT NULL, said text NOT NULL, instruction text, start_at timestamptz NOT NULL,
    end_at timestamptz, lapsed_on date, label text
);
-- Of kind `form`, `refusal`, `opt_out` or `restriction`; a Consent may be several.
CREATE TABLE consents (
    file text, line bigint, updated timestamptz, id text NOT NULL, patient text NOT NULL,
    kind text NOT NULL, said_at timestamptz NOT NULL, until timestamptz, purpose text,
    kind_text text, form_version text, information text, discloser text, recipient text,
    purpose_text text, expires_on date, expires_event text, event_at timestamptz,
    signed_at timestamptz, representative text, revoked_at timestamptz,
    notice_revocation boolean, notice_conditioning boolean, notice_redisclosure boolean,
    compound boolean, conditioned boolean, remuneration_stated boolean, known_false boolean
);
CREATE TABLE manifest (transaction_time timestamptz);
