-- Patients and all that is on file about them. Parameters: patients, until (instant).
-- Shares as in sql/sources/synthea/3_derived.sql; one in eight is a minor, one in fifty has died.
-- Who came first has the lowest numbers: see visit.sql.
CREATE TEMPORARY TABLE person AS
SELECT
    n, source.key('p', n) AS patient_key, source.key('r', n) AS representative_key,
    source.share(n, 10) < 0.125 AS minor,
    CAST(:until AS timestamptz) - INTERVAL '1826 days'
        * (1 - greatest(0, n - 0.73 * CAST(:patients AS bigint)) / (0.27 * CAST(:patients AS bigint)))
        AS first_at
FROM generate_series(1, CAST(:patients AS bigint)) AS n;

INSERT INTO source.patient
    (patient_key, given_name, birth_date, death_date, language, state, zip, time_zone, sensitive_programme)
SELECT
    patient_key, 'Given' || n % 5000,
    CAST(:until AS date) - CASE WHEN minor THEN CAST(source.share(n, 11) * 6500 AS int)
                                ELSE 8500 + CAST(source.share(n, 11) * 22000 AS int) END,
    CASE WHEN source.share(n, 12) < 0.02
         THEN CAST(:until AS date) - CAST(source.share(n, 13) * 1500 AS int) END,
    CASE WHEN source.share(n, 14) < 0.15 THEN 'es' ELSE 'en' END,
    (ARRAY['NE', 'IA', 'KS', 'MO', 'CO'])[1 + n % 5], CAST(68100 + n % 100 AS text),
    (ARRAY['America/Chicago', 'America/Chicago', 'America/Chicago', 'America/Chicago', 'America/Denver'])[1 + n % 5],
    source.share(n, 15) < 0.02
FROM person;

INSERT INTO source.programme (patient_key, category, since)
SELECT patient_key, 'substance_use', first_at FROM person WHERE source.share(n, 15) < 0.02;

INSERT INTO source.contact (patient_key, email, verified_at, confidential_channel)
SELECT
    patient_key, 'given' || n % 5000 || '.' || left(patient_key, 8) || '@example.org',
    CASE WHEN source.share(n, 16) < 0.96 THEN first_at END,
    CASE WHEN source.share(n, 17) < 0.01 THEN 'phone' END
FROM person;

INSERT INTO source.representative
    (patient_key, representative_key, authority, email, verified_at, blocked)
SELECT
    patient_key, representative_key, 'parent', 'parent.' || left(patient_key, 8) || '@example.org',
    first_at, source.share(n, 19) < 0.03
FROM person WHERE minor AND source.share(n, 18) < 0.8;

INSERT INTO source."authorization" (
    authorization_key, patient_key, purpose, form_version, information, discloser, recipient,
    purpose_text, expires_on, expires_event, signed_at, representative_key, notice_revocation,
    notice_conditioning, notice_redisclosure, compound, conditioned, remuneration_stated, revoked_at
)
SELECT
    source.key(purpose, n), patient_key, purpose, '2021-1',
    CASE WHEN source.share(n, 20 + kind) >= 0.02 THEN 'appointments, prescriptions, health education' END,
    'the practice', 'the patient', 'reminders by e-mail',
    CASE WHEN source.share(n, 30 + kind) < 0.03 THEN CAST(first_at AS date) + 365 END,
    'end of care', first_at, CASE WHEN minor THEN representative_key END,
    true, true, true, false, false, false,
    CASE WHEN source.share(n, 40 + kind) < 0.03 AND first_at + INTERVAL '400 days' < CAST(:until AS timestamptz)
         THEN first_at + INTERVAL '400 days' END
FROM person
CROSS JOIN (VALUES (1, 'email', 0.92), (2, 'marketing', 0.3)) AS form (kind, purpose, on_file)
WHERE source.share(n, 50 + kind) < on_file;

INSERT INTO source.opt_out (patient_key, at)
SELECT patient_key, first_at + INTERVAL '100 days' FROM person WHERE source.share(n, 60) < 0.03;

INSERT INTO source.restriction (patient_key, kind, since)
SELECT patient_key, 'no e-mail', first_at FROM person WHERE source.share(n, 61) < 0.01;

-- Prescriptions: 40 % were ended, 30 % of the others lapsed in the last two years.
INSERT INTO source.medication (
    medication_key, patient_key, name, dosage_text, start_at, end_at, lapsed_on, service_line, sensitive_class
)
SELECT
    source.key('m', n), patient_key,
    (ARRAY['Lisinopril', 'Metformin', 'Simvastatin', 'Amlodipine', 'Sertraline'])[1 + n % 5],
    '10 MG Oral Tablet', first_at,
    CASE WHEN source.share(n, 62) < 0.4 THEN first_at + INTERVAL '30 days' END,
    CASE WHEN source.share(n, 63) < 0.3
         THEN CAST(:until AS date) - CAST(source.share(n, 64) * 730 AS int) END,
    'ambulatory', CASE WHEN n % 5 = 4 THEN 'psychiatric' END
FROM person WHERE source.share(n, 65) < 0.6;

-- Appointments of the last two years, one per patient, and of the next 60 days: of 4 % of those who
-- came first, most of whom stopped coming, and of 16 % of the others; half are in the next 30 days.
INSERT INTO source.appointment
    (appointment_key, patient_key, booked_at, start_at, location, service_line, status)
SELECT
    source.key('a', n), patient_key, at - INTERVAL '20 days', at, 'Prairie Clinic, 100 Harney Street',
    'ambulatory', CASE WHEN source.share(n, 70) < 0.1 THEN 'cancelled' ELSE 'booked' END
FROM person
CROSS JOIN LATERAL (SELECT CAST(:until AS timestamptz) - source.share(n, 71) * INTERVAL '730 days' AS at) AS past
UNION ALL
SELECT
    source.key('b', n), patient_key, CAST(:until AS timestamptz) - source.share(n, 72) * INTERVAL '30 days',
    CAST(:until AS timestamptz) + source.share(n, 73) * INTERVAL '60 days', 'Prairie Clinic, 100 Harney Street',
    'ambulatory', 'booked'
FROM person
WHERE source.share(n, 74) < CASE WHEN n < 0.243 * CAST(:patients AS bigint) THEN 0.04 ELSE 0.16 END;

INSERT INTO source.load (source, loaded_at, data_until)
VALUES ('generated', CAST(:until AS timestamptz), CAST(:until AS timestamptz));

DROP TABLE person
