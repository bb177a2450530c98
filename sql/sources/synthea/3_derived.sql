-- What Synthea lacks, derived once per load.
ALTER TABLE patients DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE organizations DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE encounters DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE medications DROP COLUMN line;
CREATE INDEX ON encounters (patient, start);
CREATE INDEX ON encounters (start);  -- a day's new visits, and its bookings, without a scan
CREATE INDEX ON medications (patient);
ANALYZE patients, organizations, encounters, medications;

CREATE TEMPORARY TABLE people ON COMMIT DROP AS
SELECT
    p.id, p.first, p.last, p.birthdate AS born, min(e.start) AS first_at,
    min(e.start) FILTER (WHERE e.start >= of_age(p.birthdate)) AS adult_at
FROM patients AS p JOIN encounters AS e ON e.patient = p.id
GROUP BY p.id;
-- include: sources/parts/side_tables.sql
-- include: sources/parts/drawn.sql
-- include: sources/parts/side_indexes.sql

CREATE TEMPORARY TABLE described ON COMMIT DROP AS SELECT DISTINCT description FROM medications;
-- include: sources/parts/medicines.sql
