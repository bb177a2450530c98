-- The contract's views over OMOP. Columns are documented in sql/contract/.
-- include: sources/parts/side_views.sql

CREATE VIEW contract_next.patient AS
SELECT
    p.patient_key, p.given_name, p.birth_date, p.death_date, p.language, p.state, p.zip, p.time_zone,
    EXISTS (SELECT 1 FROM programme AS g WHERE g.patient_key = p.patient_key) AS sensitive_programme
FROM patients AS p;

CREATE VIEW contract_next.visit AS
SELECT visit_key, patient_key, start_at, end_at, 'finished' AS status, service_line
FROM visits;

-- Every visit counts as booked 30 days before it began: as of any day, the appointments that lie
-- within the next 30 days are known, and no later one is.
CREATE VIEW contract_next.appointment AS
SELECT
    visit_key AS appointment_key, patient_key, booked_at, start_at, location, service_line,
    'booked' AS status
FROM visits;

CREATE VIEW contract_next.medication AS
SELECT
    p.medication_key, p.patient_key, m.name, m.dosage_text, p.start_at, p.end_at, p.lapsed_on,
    CAST(NULL AS text) AS service_line, m.sensitive_class
FROM prescriptions AS p JOIN medicines AS m USING (description);

-- The export is complete up to its last visit; one that lies ahead of the load was only booked
-- then, so it does not make the data fresher than the load itself.
CREATE VIEW contract_next.load AS
SELECT l.source, l.loaded_at, least((SELECT max(v.start_at) FROM visits AS v), l.loaded_at) AS data_until,
    EXISTS (SELECT 1 FROM contract_next."authorization" AS a WHERE a.form_version = 'synthetic-1') AS drawn
FROM load AS l;
