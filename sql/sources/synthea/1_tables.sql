-- Source tables for a Synthea CSV export: the columns that the contract needs, and no other.
-- Built beside those in force (`_next`), which can be read meanwhile; 5_swap.sql puts them in force.
-- `line` is where a row stands in its file, for 2_faults.sql; 3_derived.sql drops it.
DROP SCHEMA IF EXISTS contract_next CASCADE;
DROP SCHEMA IF EXISTS synthea_next CASCADE;
CREATE SCHEMA synthea_next;

CREATE TABLE synthea_next.patients (
    line bigint, id text NOT NULL, birthdate date NOT NULL, deathdate date,
    first text NOT NULL, last text NOT NULL, ethnicity text, state text, zip text
);
CREATE TABLE synthea_next.organizations (
    line bigint, id text NOT NULL, name text NOT NULL, address text, city text
);
CREATE TABLE synthea_next.encounters (
    line bigint, id text NOT NULL, start timestamptz NOT NULL, stop timestamptz,
    patient text NOT NULL, organization text NOT NULL, encounterclass text NOT NULL
);
CREATE TABLE synthea_next.medications (
    line bigint, start timestamptz NOT NULL, stop timestamptz, patient text NOT NULL,
    encounter text NOT NULL, code text NOT NULL, description text NOT NULL
);
CREATE TABLE synthea_next.sensitive_medicines (
    ingredient text PRIMARY KEY, class text NOT NULL, atc text NOT NULL
);
CREATE TABLE synthea_next.load (source text, directory_sha256 text, loaded_at timestamptz);
