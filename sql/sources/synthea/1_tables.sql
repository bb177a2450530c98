-- Source tables for a Synthea CSV export: the columns that the contract needs, and no other.
-- Everything the source owns is replaced, in the loader's transaction: half-loaded cannot be seen.
DROP SCHEMA IF EXISTS contract CASCADE;
DROP SCHEMA IF EXISTS synthea CASCADE;
CREATE SCHEMA synthea;

CREATE TABLE synthea.patients (
    id text PRIMARY KEY, birthdate date NOT NULL, deathdate date,
    first text NOT NULL, last text NOT NULL, ethnicity text, state text, zip text
);
CREATE TABLE synthea.organizations (id text PRIMARY KEY, name text NOT NULL, address text, city text);
CREATE TABLE synthea.encounters (
    id text PRIMARY KEY, start timestamptz NOT NULL, stop timestamptz,
    patient text NOT NULL, organization text NOT NULL, encounterclass text NOT NULL
);
CREATE TABLE synthea.medications (
    start timestamptz NOT NULL, stop timestamptz, patient text NOT NULL,
    encounter text NOT NULL, code text NOT NULL, description text NOT NULL
);
CREATE TABLE synthea.sensitive_medicines (ingredient text PRIMARY KEY, class text NOT NULL, atc text NOT NULL);
CREATE TABLE synthea.load (source text, directory_sha256 text, loaded_at timestamptz);
