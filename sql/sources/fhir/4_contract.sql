-- The contract's views over a FHIR R4 export. Columns are documented in sql/contract/, where each of
-- them comes from in docs/sources.md.

CREATE VIEW contract_next.patient AS
SELECT
    p.id AS patient_key, p.given_name, p.birth_date, p.death_date, p.language,
    s.letters AS state, p.zip, s.time_zone,
    EXISTS (SELECT 1 FROM programmes AS g WHERE g.patient = p.id) AS sensitive_programme
FROM patients AS p
LEFT JOIN states AS s ON p.state IN (s.name, s.letters);

CREATE VIEW contract_next.programme AS
SELECT g.patient AS patient_key, g.category, g.since, CAST(NULL AS timestamptz) AS until
FROM programmes AS g;

CREATE VIEW contract_next.contact AS
SELECT
    p.id AS patient_key, p.email, p.verified_at, p.confidential_channel, p.confidential_email,
    p.confidential_verified_at, p.bounced_at, CAST(NULL AS text) AS smime_certificate,
    CAST(NULL AS boolean) AS reads_authenticated_encryption
FROM patients AS p;

-- Who is related but has no authority by law is not there: a form that they signed names nobody.
CREATE VIEW contract_next.representative AS
SELECT
    r.patient AS patient_key, r.id AS representative_key, r.authority, r.email, r.verified_at,
    r.limited_by, r.blocked
FROM related_persons AS r
WHERE r.authority IS NOT NULL;

CREATE VIEW contract_next.visit AS
SELECT
    e.id AS visit_key, e.patient AS patient_key, e.start_at, e.end_at, e.status, e.service_line
FROM encounters AS e;

CREATE VIEW contract_next.appointment AS
SELECT
    a.key AS appointment_key, a.patient AS patient_key, a.booked_at, a.start_at,
    a.location_label AS location, a.service_line, a.status
FROM appointments AS a;

CREATE VIEW contract_next.medication AS
SELECT
    m.id AS medication_key, m.patient AS patient_key, m.name, m.dosage_text, m.start_at, m.end_at,
    m.lapsed_on, CAST(NULL AS text) AS service_line, m.sensitive_class
FROM prescriptions AS m;

CREATE VIEW contract_next."authorization" AS
SELECT
    -- One document may be of several purposes.
    c.id || '/' || c.purpose AS authorization_key, c.patient AS patient_key, c.purpose,
    c.form_version, c.information, c.discloser, c.recipient, c.purpose_text,
    c.expires_on, c.expires_event, c.event_at, c.signed_at, c.representative AS representative_key,
    c.notice_revocation, c.notice_conditioning, c.notice_redisclosure,
    c.compound, c.conditioned, c.remuneration_stated, c.known_false, c.revoked_at
FROM consents AS c
WHERE c.kind IN ('form', 'refusal');

CREATE VIEW contract_next.restriction AS
SELECT p.id AS patient_key, p.set_aside AS kind,
    CAST(p.birth_date AS timestamp) AT TIME ZONE 'UTC' AS since, CAST(NULL AS timestamptz) AS until
FROM patients AS p
WHERE p.set_aside IS NOT NULL
UNION ALL
SELECT c.patient, c.kind_text, c.said_at, c.until
FROM consents AS c
WHERE c.kind = 'restriction';

CREATE VIEW contract_next.opt_out AS
SELECT c.patient AS patient_key, CAST(NULL AS text) AS campaign, c.said_at AS at
FROM consents AS c
WHERE c.kind = 'opt_out';

CREATE VIEW contract_next.load AS
SELECT l.source, l.loaded_at, least((SELECT r.until FROM reached AS r), l.loaded_at) AS data_until,
    false AS drawn
FROM load AS l;
