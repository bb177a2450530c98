-- Begins a load: an empty schema for the source and one for the contract's views, beside those in
-- force (`_next`), which can be read meanwhile; swap.sql puts them in force. What a load that was
-- killed left behind goes. Scripts that follow need no schema's name for the source's tables.
-- Parameter: the setting reengage.source, its name.
DROP SCHEMA IF EXISTS contract_next, synthea_next, omop_next, fhir_next CASCADE;
CREATE SCHEMA contract_next;
DO $$ BEGIN
    EXECUTE format('CREATE SCHEMA %I', current_setting('reengage.source') || '_next');
END $$;
SELECT set_config('search_path', quote_ident(current_setting('reengage.source') || '_next'), true);
SET LOCAL timezone = 'UTC';

-- From when a visit is one of an adult: a day after the birthday begins in UTC, when it has begun in
-- every time zone of the United States (PRV-16). For the load only: it asks a setting of it.
CREATE FUNCTION of_age(born date) RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT CAST(born + make_interval(
        years => CAST(current_setting('reengage.age_of_majority') AS integer), days => 1
    ) AS timestamp) AT TIME ZONE 'UTC'
$$;
CREATE TABLE load (source text, directory_sha256 text, loaded_at timestamptz);
CREATE TABLE sensitive_medicines (
    ingredient text PRIMARY KEY, class text NOT NULL, atc text NOT NULL
);

-- Some exports name the state in full, others by its letters; one zone per state, that of most of
-- its people.
CREATE TABLE states (name text PRIMARY KEY, letters text NOT NULL, time_zone text NOT NULL);
INSERT INTO states VALUES
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
