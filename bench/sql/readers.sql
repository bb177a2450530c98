-- Patients who may all be written to by appointment_reminder. Parameters: patients, noon (instant).
-- Who is left out is no part of this measurement: extract's benchmark has all kinds.
INSERT INTO contract.patient
    (patient_key, given_name, birth_date, language, state, zip, time_zone, sensitive_programme)
SELECT
    'p' || n, 'Given' || n % 5000, date '1970-01-01', CASE WHEN n % 7 = 0 THEN 'es' ELSE 'en' END,
    'NE', '68102', 'America/Chicago', false
FROM generate_series(1, CAST(:patients AS bigint)) AS n;

INSERT INTO contract.contact (patient_key, email, verified_at)
SELECT patient_key, patient_key || '@example.org', CAST(:noon AS timestamptz) - INTERVAL '1000 days'
FROM contract.patient;

INSERT INTO contract.visit (visit_key, patient_key, start_at, end_at, status, service_line)
SELECT
    'v' || patient_key, patient_key, CAST(:noon AS timestamptz) - INTERVAL '400 days',
    CAST(:noon AS timestamptz) - INTERVAL '400 days', 'finished', 'ambulatory'
FROM contract.patient;

INSERT INTO contract.appointment
    (appointment_key, patient_key, booked_at, start_at, location, service_line, status)
SELECT
    'a' || patient_key, patient_key, CAST(:noon AS timestamptz) - INTERVAL '10 days',
    CAST(:noon AS timestamptz) + INTERVAL '7 days', 'Prairie Clinic, 100 Harney Street',
    'ambulatory', 'booked'
FROM contract.patient;

INSERT INTO contract."authorization" (
    authorization_key, patient_key, purpose, form_version, information, discloser, recipient,
    purpose_text, expires_event, signed_at, notice_revocation, notice_conditioning,
    notice_redisclosure, compound, conditioned, remuneration_stated
)
SELECT
    'f' || patient_key, patient_key, 'email', '2024-1', 'reminders', 'the practice', 'the patient',
    'care', 'end of care', CAST(:noon AS timestamptz) - INTERVAL '1000 days', true, true, true,
    false, false, false
FROM contract.patient;

INSERT INTO contract.load (source, loaded_at, data_until)
VALUES ('generated', CAST(:noon AS timestamptz), CAST(:noon AS timestamptz))
