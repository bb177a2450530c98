-- Fills the tables of side_tables.sql for an export that knows of no e-mail address, consent or
-- opt-out. Drawn deterministically from a hash of the patient's id, and marked synthetic: forms have
-- version `synthetic-1`, addresses end in example.org, which reaches nobody. The shares:
--   e-mail opt-in on file 92 %, of which faulty: incomplete 2 %, expired 3 %, revoked 3 %
--   marketing authorization on file 30 %           e-mail address verified 96 %
--   opted out of all letters 3 %                   restriction agreed 1 %
--   confidential channel other than e-mail 1 %     sensitive programme 2 %
--   a parent on file as representative 80 %, of which blocked 3 %
-- Parameter: the table `people`, those who were ever seen: id, first, last (names, or null), born,
-- first_at (first visit) and adult_at (first visit as an adult, or null). Kept: the table `drawn`.
CREATE FUNCTION draw(id text, label text) RETURNS double precision IMMUTABLE LANGUAGE sql AS $$
    SELECT CAST(CAST('x' || left(md5(id || '/' || label), 8) AS bit(32)) AS bigint) / 4294967296.0
$$;
-- Forms are signed at visits, but nobody signed one for e-mail before 2012.
CREATE TABLE drawn AS
SELECT
    p.id,
    greatest(p.first_at, TIMESTAMPTZ '2012-01-01 00:00:00+00') AS signed_at,
    greatest(p.first_at, TIMESTAMPTZ '2012-01-01 00:00:00+00') < of_age(p.born) AS minor,
    CASE WHEN p.adult_at IS NOT NULL
         THEN greatest(p.adult_at, TIMESTAMPTZ '2012-01-01 00:00:00+00') END AS signed_as_adult_at,
    draw(p.id, 'email opt-in') AS opt_in,
    draw(p.id, 'email fault') AS fault,
    draw(p.id, 'marketing') AS marketing,
    draw(p.id, 'verified') AS verified,
    draw(p.id, 'opted out') AS opted_out,
    draw(p.id, 'restriction') AS restriction,
    draw(p.id, 'confidential') AS confidential,
    draw(p.id, 'programme') AS programme,
    draw(p.id, 'category') AS category,
    draw(p.id, 'representative') AS representative,
    draw(p.id, 'blocked') AS blocked,
    coalesce(nullif(regexp_replace(lower(normalize(p.first, NFD)), '[^a-z]', '', 'g'), ''), 'patient') AS mail_first,
    coalesce(nullif(regexp_replace(lower(normalize(p.last, NFD)), '[^a-z]', '', 'g'), ''), 'name') AS mail_last,
    left(md5(p.id), 12) AS mail_mark
FROM people AS p;
ALTER TABLE drawn ADD PRIMARY KEY (id);
ANALYZE drawn;

INSERT INTO contact (patient_key, email, verified_at, confidential_channel)
SELECT
    id, mail_first || '.' || mail_last || '.' || mail_mark || '@example.org',
    CASE WHEN verified < 0.96 THEN signed_at END,
    CASE WHEN confidential < 0.01 THEN 'post' END
FROM drawn;

INSERT INTO representative (patient_key, representative_key, authority, email, verified_at, blocked)
SELECT
    id, 'parent-' || mail_mark, 'parent',
    'parent.' || mail_last || '.' || mail_mark || '@example.org', signed_at, blocked < 0.03
FROM drawn
WHERE representative < 0.80;

-- Who was a minor at the first visit has a parent's form, if a parent is on file, and a form of
-- their own once they came as an adult (PRV-16).
CREATE TEMPORARY TABLE signature ON COMMIT DROP AS
SELECT d.id, false AS by_parent, CASE WHEN d.minor THEN d.signed_as_adult_at ELSE d.signed_at END AS at
FROM drawn AS d
WHERE NOT d.minor OR d.signed_as_adult_at IS NOT NULL
UNION ALL
SELECT d.id, true, d.signed_at
FROM drawn AS d
WHERE d.minor AND d.representative < 0.80;

INSERT INTO "authorization" (
    authorization_key, patient_key, purpose, form_version, information, discloser, recipient,
    purpose_text, expires_on, expires_event, signed_at, representative_key,
    notice_revocation, notice_conditioning, notice_redisclosure,
    compound, conditioned, remuneration_stated, known_false, revoked_at
)
SELECT
    'synthetic-email-' || CASE WHEN s.by_parent THEN 'parent-' ELSE '' END || d.mail_mark,
    d.id, 'email', 'synthetic-1', 'reminders and information about care', 'the practice',
    CASE WHEN d.fault < 0.02 THEN NULL ELSE 'the patient, by e-mail' END,
    'treatment and information',
    CASE WHEN d.fault >= 0.02 AND d.fault < 0.05 THEN CAST(s.at AT TIME ZONE 'UTC' AS date) + 365 END,
    CASE WHEN d.fault >= 0.02 AND d.fault < 0.05 THEN NULL ELSE 'end of care at the practice' END,
    s.at, CASE WHEN s.by_parent THEN 'parent-' || d.mail_mark END,
    true, true, true, false, false, false, false,
    CASE WHEN d.fault >= 0.05 AND d.fault < 0.08 THEN s.at + INTERVAL '400 days' END
FROM signature AS s JOIN drawn AS d ON d.id = s.id
WHERE d.opt_in < 0.92
UNION ALL
SELECT
    'synthetic-marketing-' || CASE WHEN s.by_parent THEN 'parent-' ELSE '' END || d.mail_mark,
    d.id, 'marketing', 'synthetic-1', 'name and address', 'the practice', 'the patient, by e-mail',
    'news of services', NULL, 'end of care at the practice',
    s.at, CASE WHEN s.by_parent THEN 'parent-' || d.mail_mark END,
    true, true, true, false, false, false, false, NULL
FROM signature AS s JOIN drawn AS d ON d.id = s.id
WHERE d.marketing < 0.30;

INSERT INTO restriction (patient_key, kind, since)
SELECT id, 'no outreach', signed_at FROM drawn WHERE restriction < 0.01;

INSERT INTO opt_out (patient_key, at)
SELECT id, signed_at FROM drawn WHERE opted_out < 0.03;

INSERT INTO programme (patient_key, category, since)
SELECT
    id,
    (ARRAY['substance_use', 'hiv', 'mental_health', 'reproductive', 'gender_affirming', 'genetics',
        'minor_services'])[1 + CAST(floor(category * 7) AS integer)],
    signed_at
FROM drawn
WHERE programme < 0.02;
