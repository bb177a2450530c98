-- What FHIR says in another way than the contract, derived once per load.
-- The export is complete up to the instant of its transaction; without a manifest up to the newest
-- change of a resource, and without these up to the last visit.
CREATE TABLE reached AS
SELECT coalesce(
    (SELECT max(transaction_time) FROM manifest),
    (SELECT max(newest) FROM (
        SELECT max(updated) AS newest FROM patients
        UNION ALL SELECT max(updated) FROM encounters
        UNION ALL SELECT max(updated) FROM appointments
        UNION ALL SELECT max(updated) FROM medication_requests
        UNION ALL SELECT max(updated) FROM consents
    ) AS changes),
    (SELECT max(start_at) FROM encounters),
    TIMESTAMPTZ '1850-01-01 00:00:00+00'
) AS until;

ALTER TABLE patients DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (id);
ALTER TABLE related_persons DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (id);
ALTER TABLE locations DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (id);
ALTER TABLE encounters DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (id);
-- A place is called as its Location says, else as the appointment does, else it is the practice.
UPDATE appointments AS a
SET location_label = coalesce(
    (SELECT l.label FROM locations AS l WHERE l.id = a.location), a.location_label,
    current_setting('reengage.place'));
ALTER TABLE appointments ALTER COLUMN location_label SET NOT NULL;
ALTER TABLE appointments DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (key);
ALTER TABLE medication_requests DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated, ADD PRIMARY KEY (id);
-- A refusal without a date was made by the last change of its resource. Where that is not known
-- either, it counts as the newest word that the export has: it ends every form of its purpose that is
-- there. It has been made, so never after the load.
UPDATE consents AS c
SET (signed_at, revoked_at) = (
    SELECT made.at, made.at
    FROM (SELECT least(now(), coalesce(c.updated, greatest(r.until, theirs.newest))) AS at
          FROM reached AS r) AS made
)
FROM (SELECT patient, max(signed_at) AS newest FROM consents GROUP BY patient) AS theirs
WHERE theirs.patient = c.patient AND c.kind = 'refusal' AND c.signed_at IS NULL;
ALTER TABLE consents DROP COLUMN file, DROP COLUMN line, DROP COLUMN updated;
CREATE INDEX ON related_persons (patient);
CREATE INDEX ON encounters (patient, start_at);
CREATE INDEX ON encounters (start_at);
CREATE INDEX ON appointments (patient);
CREATE INDEX ON appointments (start_at);
CREATE INDEX ON medication_requests (patient);
CREATE INDEX ON consents (patient);

-- A label has no date: on a patient it counts from birth, on care from its beginning; one of a place
-- is one of the appointments there (PRV-32). What was sensitive stays so.
CREATE TABLE programmes AS
SELECT patient, category, min(since) AS since
FROM (
    SELECT id AS patient, unnest(categories) AS category,
        CAST(birth_date AS timestamp) AT TIME ZONE 'UTC' AS since
    FROM patients
    UNION ALL
    SELECT patient, unnest(categories), start_at FROM encounters
    UNION ALL
    SELECT patient, unnest(categories), least(booked_at, start_at) FROM appointments
    UNION ALL
    SELECT a.patient, unnest(l.categories), least(a.booked_at, a.start_at)
    FROM appointments AS a JOIN locations AS l ON l.id = a.location
) AS labelled
GROUP BY patient, category;
ALTER TABLE programmes ADD PRIMARY KEY (patient, category);

CREATE VIEW described AS SELECT name AS description FROM medication_requests;
-- include: sources/parts/medicines.sql

-- A prescription is renewed by a later one of the same medicine that reaches further: from that day
-- on it is over, and not lapsed.
CREATE TABLE prescriptions AS
SELECT
    m.id, m.patient, x.name,
    -- Strength and form from the name, then the instruction as it is written; an empty one is not fit
    -- for a letter, and then nothing is.
    CASE WHEN m.instruction IS NULL THEN x.dosage_text
         WHEN m.instruction = '' THEN ''
         ELSE concat_ws(', ', nullif(x.dosage_text, 'as prescribed'), m.instruction) END AS dosage_text,
    m.start_at,
    least(m.end_at, (
        SELECT min(later.start_at)
        FROM medication_requests AS later
        JOIN medicines AS y ON y.description = later.name
        WHERE later.patient = m.patient AND later.start_at > m.start_at AND lower(y.name) = lower(x.name)
          AND coalesce(later.lapsed_on, 'infinity') > m.lapsed_on
          AND coalesce(CAST(later.end_at AT TIME ZONE 'UTC' AS date), 'infinity') > m.lapsed_on
    )) AS end_at,
    m.lapsed_on,
    coalesce(m.label, (
        SELECT min(s.class) FROM sensitive_medicines AS s
        WHERE position(lower(s.ingredient) IN lower(concat_ws(' ', m.said, m.instruction))) > 0
    )) AS sensitive_class
FROM medication_requests AS m
JOIN medicines AS x ON x.description = m.name;
ALTER TABLE prescriptions ADD PRIMARY KEY (id);
CREATE INDEX ON prescriptions (patient);
ANALYZE patients, related_persons, encounters, appointments, prescriptions, consents, programmes;
