-- The contract's views over Synthea. Columns are documented in sql/contract/.
-- include: sources/parts/side_views.sql

CREATE VIEW contract_next.patient AS
SELECT
    p.id AS patient_key,
    coalesce(nullif(regexp_replace(p.first, '\s*[0-9]+$', ''), ''), p.first) AS given_name,
    p.birthdate AS birth_date,
    p.deathdate AS death_date,
    CASE WHEN p.ethnicity = 'hispanic' THEN 'es' ELSE 'en' END AS language,
    s.letters AS state, p.zip,
    s.time_zone,
    EXISTS (SELECT 1 FROM programme AS g WHERE g.patient_key = p.id) AS sensitive_programme
FROM patients p
LEFT JOIN states s ON p.state IN (s.name, s.letters);

CREATE VIEW contract_next.visit AS
SELECT
    e.id AS visit_key, e.patient AS patient_key, e.start AS start_at, e.stop AS end_at,
    'finished' AS status, e.encounterclass AS service_line
FROM encounters e;

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
FROM encounters e
LEFT JOIN organizations o ON o.id = e.organization;

-- Synthea writes some prescriptions twice; one that is open in either row is open. It knows when one
-- was ended, not when a supply ran out. Keys hold no text of an instant, so that they are the same in
-- any session.
CREATE VIEW contract_next.medication AS
SELECT DISTINCT
    md5(concat_ws('/', m.patient, m.encounter, m.code,
        extract(epoch FROM m.start), m.description)) AS medication_key,
    m.patient AS patient_key,
    x.name, x.dosage_text,
    m.start AS start_at,
    CASE WHEN bool_and(m.stop IS NOT NULL) OVER same THEN max(m.stop) OVER same END AS end_at,
    CAST(NULL AS date) AS lapsed_on,
    CAST(NULL AS text) AS service_line,
    x.sensitive_class
FROM medications m
JOIN medicines x ON x.description = m.description
WINDOW same AS (PARTITION BY m.patient, m.encounter, m.code, m.start, m.description);

-- The export is complete up to its last encounter; one that lies ahead of the load was only
-- booked then, so it does not make the data fresher than the load itself.
CREATE VIEW contract_next.load AS
SELECT
    l.source, l.loaded_at,
    least((SELECT max(e.start) FROM encounters e), l.loaded_at) AS data_until,
    true AS drawn
FROM load l;
