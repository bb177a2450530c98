-- The indexes that docs/sources.md recommends for a clinic's own warehouse, one statement each.
CREATE UNIQUE INDEX ON source.patient (patient_key);
CREATE UNIQUE INDEX ON source.contact (patient_key);
CREATE INDEX ON source.visit (patient_key, start_at) INCLUDE (status);
CREATE INDEX ON source.visit (start_at);
CREATE UNIQUE INDEX ON source.appointment (appointment_key);
CREATE INDEX ON source.appointment (start_at);
CREATE INDEX ON source.appointment (patient_key);
CREATE UNIQUE INDEX ON source."authorization" (authorization_key);
CREATE INDEX ON source."authorization" (patient_key);
CREATE INDEX ON source."authorization" (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE UNIQUE INDEX ON source.medication (medication_key);
CREATE INDEX ON source.medication (patient_key);
CREATE INDEX ON source.opt_out (patient_key);
CREATE INDEX ON source.restriction (patient_key);
CREATE INDEX ON source.representative (patient_key);
CREATE INDEX ON source.programme (patient_key)
