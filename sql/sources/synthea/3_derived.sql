-- What Synthea lacks, derived once per load.
ALTER TABLE synthea_next.patients DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE synthea_next.organizations DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE synthea_next.encounters DROP COLUMN line, ADD PRIMARY KEY (id);
ALTER TABLE synthea_next.medications DROP COLUMN line;
CREATE INDEX ON synthea_next.encounters (patient, start);
CREATE INDEX ON synthea_next.medications (patient);

-- Consent, verification and opt-outs are not in Synthea. They are drawn here, deterministically,
-- from a hash of the patient's id, and marked synthetic (form version `synthetic-1`). The shares:
--   e-mail opt-in on file 92 %, of which faulty: incomplete 2 %, expired 3 %, revoked 3 %
--   marketing authorization on file 30 %           e-mail address verified 96 %
--   opted out of all letters 3 %                   restriction agreed 1 %
--   confidential channel other than e-mail 1 %     sensitive programme 2 %
--   a parent on file as representative 80 %, of which blocked 3 %
CREATE FUNCTION synthea_next.draw(id text, label text) RETURNS double precision IMMUTABLE LANGUAGE sql AS $$
    SELECT CAST(CAST('x' || left(md5(id || '/' || label), 8) AS bit(32)) AS bigint) / 4294967296.0
$$;
CREATE TABLE synthea_next.drawn AS
SELECT
    p.id,
    -- Signed at the first encounter, but nobody signed an e-mail form before 2012.
    greatest(seen.first_at, TIMESTAMPTZ '2012-01-01 00:00:00+00') AS signed_at,
    synthea_next.draw(p.id, 'email opt-in') AS opt_in,
    synthea_next.draw(p.id, 'email fault') AS fault,
    synthea_next.draw(p.id, 'marketing') AS marketing,
    synthea_next.draw(p.id, 'verified') AS verified,
    synthea_next.draw(p.id, 'opted out') AS opted_out,
    synthea_next.draw(p.id, 'restriction') AS restriction,
    synthea_next.draw(p.id, 'confidential') AS confidential,
    synthea_next.draw(p.id, 'programme') AS programme,
    synthea_next.draw(p.id, 'representative') AS representative,
    synthea_next.draw(p.id, 'blocked') AS blocked,
    regexp_replace(lower(normalize(p.first, NFD)), '[^a-z]', '', 'g') AS mail_first,
    regexp_replace(lower(normalize(p.last, NFD)), '[^a-z]', '', 'g') AS mail_last,
    left(md5(p.id), 8) AS mail_mark
FROM synthea_next.patients p
JOIN (SELECT patient, min(start) AS first_at FROM synthea_next.encounters GROUP BY patient) AS seen
  ON seen.patient = p.id;
ALTER TABLE synthea_next.drawn ADD PRIMARY KEY (id);

-- A description such as '24 HR Donepezil hydrochloride 10 MG / Memantine hydrochloride 28 MG
-- Extended Release Oral Capsule' as a name without strength, and a dosage without name. The
-- product number goes, a leading duration or volume moves behind the strength.
CREATE TABLE synthea_next.medicines AS
WITH trimmed AS (
    SELECT DISTINCT
        description,
        regexp_replace(description, '^(NDA[0-9]+|Abuse-Deterrent)\s+', '') AS rest
    FROM synthea_next.medications
),
led AS (
    SELECT
        description,
        substring(rest FROM '^([0-9.]+ (?:HR|ML|ACTUAT))\s') AS lead,
        regexp_replace(rest, '^[0-9.]+ (?:HR|ML|ACTUAT)\s+', '') AS body
    FROM trimmed
),
parts AS (
    SELECT
        led.description, led.lead, part.rank,
        regexp_match(part.content, '^(.+?)\s+([0-9].*)$') AS split, part.content
    FROM led CROSS JOIN regexp_split_to_table(led.body, '\s+/\s+') WITH ORDINALITY AS part (content, rank)
),
joined AS (
    SELECT
        description, min(lead) AS lead,
        regexp_replace(string_agg(coalesce(split[1], content), ' / ' ORDER BY rank), '\s+', ' ', 'g') AS name,
        string_agg(split[2], ' / ' ORDER BY rank) AS strength
    FROM parts
    GROUP BY description
)
SELECT
    j.description, j.name,
    coalesce(j.strength || coalesce(' (' || j.lead || ')', ''), j.lead, 'as prescribed') AS dosage_text,
    (SELECT min(s.class) FROM synthea_next.sensitive_medicines s
     WHERE position(lower(s.ingredient) IN lower(j.description)) > 0) AS sensitive_class
FROM joined j;
ALTER TABLE synthea_next.medicines ADD PRIMARY KEY (description);

-- Synthea names the state in full, other exports use its letters; one zone per state, that of most
-- of its people.
CREATE TABLE synthea_next.states (name text PRIMARY KEY, letters text NOT NULL, time_zone text NOT NULL);
INSERT INTO synthea_next.states VALUES
('Alabama','AL','America/Chicago'),('Alaska','AK','America/Anchorage'),('Arizona','AZ','America/Phoenix'),
('Arkansas','AR','America/Chicago'),('California','CA','America/Los_Angeles'),('Colorado','CO','America/Denver'),
('Connecticut','CT','America/New_York'),('Delaware','DE','America/New_York'),
('District of Columbia','DC','America/New_York'),('Florida','FL','America/New_York'),
('Georgia','GA','America/New_York'),('Hawaii','HI','Pacific/Honolulu'),('Idaho','ID','America/Boise'),
('Illinois','IL','America/Chicago'),('Indiana','IN','America/Indiana/Indianapolis'),('Iowa','IA','America/Chicago'),
('Kansas','KS','America/Chicago'),('Kentucky','KY','America/New_York'),('Louisiana','LA','America/Chicago'),
('Maine','ME','America/New_York'),('Maryland','MD','America/New_York'),('Massachusetts','MA','America/New_York'),
('Michigan','MI','America/Detroit'),('Minnesota','MN','America/Chicago'),('Mississippi','MS','America/Chicago'),
('Missouri','MO','America/Chicago'),('Montana','MT','America/Denver'),('Nebraska','NE','America/Chicago'),
('Nevada','NV','America/Los_Angeles'),('New Hampshire','NH','America/New_York'),('New Jersey','NJ','America/New_York'),
('New Mexico','NM','America/Denver'),('New York','NY','America/New_York'),('North Carolina','NC','America/New_York'),
('North Dakota','ND','America/Chicago'),('Ohio','OH','America/New_York'),('Oklahoma','OK','America/Chicago'),
('Oregon','OR','America/Los_Angeles'),('Pennsylvania','PA','America/New_York'),('Puerto Rico','PR','America/Puerto_Rico'),
('Rhode Island','RI','America/New_York'),('South Carolina','SC','America/New_York'),('South Dakota','SD','America/Chicago'),
('Tennessee','TN','America/Chicago'),('Texas','TX','America/Chicago'),('Utah','UT','America/Denver'),
('Vermont','VT','America/New_York'),('Virginia','VA','America/New_York'),('Washington','WA','America/Los_Angeles'),
('West Virginia','WV','America/New_York'),('Wisconsin','WI','America/Chicago'),('Wyoming','WY','America/Denver');
ANALYZE synthea_next.patients, synthea_next.organizations, synthea_next.encounters,
    synthea_next.medications, synthea_next.drawn, synthea_next.medicines, synthea_next.states;
