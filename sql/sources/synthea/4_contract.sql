-- The contract's views over Synthea. Columns are documented in sql/contract/.
CREATE SCHEMA contract_next;

CREATE VIEW contract_next.patient AS
SELECT
    p.id AS patient_key,
    coalesce(nullif(regexp_replace(p.first, '\s*[0-9]+$', ''), ''), p.first) AS given_name,
    p.birthdate AS birth_date,
    p.deathdate AS death_date,
    CASE WHEN p.ethnicity = 'hispanic' THEN 'es' ELSE 'en' END AS language,
    p.state, p.zip,
    s.time_zone,
    coalesce(d.programme < 0.02, false) AS sensitive_programme
FROM synthea_next.patients p
LEFT JOIN synthea_next.drawn d ON d.id = p.id
LEFT JOIN synthea_next.states s ON p.state IN (s.name, s.letters);

CREATE VIEW contract_next.contact AS
SELECT
    d.id AS patient_key,
    coalesce(nullif(d.mail_first, ''), 'patient') || '.' || coalesce(nullif(d.mail_last, ''), 'name')
        || '.' || d.mail_mark || '@example.org' AS email,
    CASE WHEN d.verified < 0.96 THEN d.signed_at END AS verified_at,
    CASE WHEN d.confidential < 0.01 THEN 'post' END AS confidential_channel,
    CAST(NULL AS text) AS smime_certificate
FROM synthea_next.drawn d;

CREATE VIEW contract_next.representative AS
SELECT
    d.id AS patient_key,
    'parent-' || d.mail_mark AS representative_key,
    'parent' AS authority,
    'parent.' || coalesce(nullif(d.mail_last, ''), 'name') || '.' || d.mail_mark || '@example.org' AS email,
    d.signed_at AS verified_at,
    d.blocked < 0.03 AS blocked
FROM synthea_next.drawn d
WHERE d.representative < 0.80;

CREATE VIEW contract_next.visit AS
SELECT
    e.id AS visit_key, e.patient AS patient_key, e.start AS start_at, e.stop AS end_at,
    'finished' AS status, e.encounterclass AS service_line
FROM synthea_next.encounters e;

-- Every encounter counts as booked 30 days before it began: as of any day, the appointments that
-- lie within the next 30 days are known, and no later one is.
CREATE VIEW contract_next.appointment AS
SELECT
    e.id AS appointment_key, e.patient AS patient_key,
    e.start - INTERVAL '30 days' AS booked_at,
    e.start AS start_at,
    concat_ws(', ', initcap(regexp_replace(o.name, '\s+', ' ', 'g')), initcap(o.address), initcap(o.city)) AS location,
    e.encounterclass AS service_line,
    'booked' AS status
FROM synthea_next.encounters e
LEFT JOIN synthea_next.organizations o ON o.id = e.organization;

-- Synthea writes some prescriptions twice; one that is open in either row is open. Days are those of
-- UTC, and keys hold no text of an instant, so that they are the same in any session.
CREATE VIEW contract_next.medication AS
SELECT DISTINCT
    md5(concat_ws('/', m.patient, m.encounter, m.code,
        extract(epoch FROM m.start), m.description)) AS medication_key,
    m.patient AS patient_key,
    x.name, x.dosage_text,
    m.start AS start_at,
    CASE WHEN bool_and(m.stop IS NOT NULL) OVER same THEN max(m.stop) OVER same END AS end_at,
    CASE WHEN bool_and(m.stop IS NOT NULL) OVER same
         THEN CAST(max(m.stop) OVER same AT TIME ZONE 'UTC' AS date) END AS lapsed_on,
    CAST(NULL AS text) AS service_line,
    x.sensitive_class
FROM synthea_next.medications m
JOIN synthea_next.medicines x ON x.description = m.description
WINDOW same AS (PARTITION BY m.patient, m.encounter, m.code, m.start, m.description);

CREATE VIEW contract_next."authorization" AS
SELECT
    'synthetic-email-' || d.mail_mark AS authorization_key,
    d.id AS patient_key,
    'email' AS purpose,
    'synthetic-1' AS form_version,
    'reminders and information about care' AS information,
    'the practice' AS discloser,
    CASE WHEN d.fault < 0.02 THEN NULL ELSE 'the patient, by e-mail' END AS recipient,
    'treatment and information' AS purpose_text,
    CASE WHEN d.fault >= 0.02 AND d.fault < 0.05 THEN CAST(d.signed_at AT TIME ZONE 'UTC' AS date) + 365 END AS expires_on,
    CASE WHEN d.fault >= 0.02 AND d.fault < 0.05 THEN NULL ELSE 'end of care at the practice' END AS expires_event,
    d.signed_at,
    CAST(NULL AS text) AS representative_key,
    true AS notice_revocation, true AS notice_conditioning, true AS notice_redisclosure,
    false AS compound, false AS conditioned, false AS remuneration_stated,
    CASE WHEN d.fault >= 0.05 AND d.fault < 0.08 THEN d.signed_at + INTERVAL '400 days' END AS revoked_at
FROM synthea_next.drawn d
WHERE d.opt_in < 0.92
UNION ALL
SELECT
    'synthetic-marketing-' || d.mail_mark, d.id, 'marketing', 'synthetic-1',
    'name and address', 'the practice', 'the patient, by e-mail', 'news of services',
    NULL, 'end of care at the practice', d.signed_at, NULL, true, true, true, false, false, false, NULL
FROM synthea_next.drawn d
WHERE d.marketing < 0.30;

CREATE VIEW contract_next.restriction AS
SELECT
    d.id AS patient_key, 'no outreach' AS kind, d.signed_at AS since, CAST(NULL AS timestamptz) AS until
FROM synthea_next.drawn d
WHERE d.restriction < 0.01;

CREATE VIEW contract_next.opt_out AS
SELECT d.id AS patient_key, CAST(NULL AS text) AS campaign, d.signed_at AS at
FROM synthea_next.drawn d
WHERE d.opted_out < 0.03;

-- The export is complete up to its last encounter; one that lies ahead of the load was only
-- booked then, so it does not make the data fresher than the load itself.
CREATE VIEW contract_next.load AS
SELECT
    l.source, l.loaded_at,
    least((SELECT max(e.start) FROM synthea_next.encounters e), l.loaded_at) AS data_until
FROM synthea_next.load l;
