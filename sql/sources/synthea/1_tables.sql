-- Source tables for a Synthea CSV export: the columns that the contract needs, and no other.
-- `line` is where a row stands in its file, for 2_faults.sql; 3_derived.sql drops it.
CREATE TABLE patients (
    line bigint, id text NOT NULL, birthdate date NOT NULL, deathdate date,
    first text NOT NULL, last text NOT NULL, ethnicity text, state text, zip text
);
CREATE TABLE organizations (
    line bigint, id text NOT NULL, name text NOT NULL, address text, city text
);
CREATE TABLE encounters (
    line bigint, id text NOT NULL, start timestamptz NOT NULL, stop timestamptz,
    patient text NOT NULL, organization text NOT NULL, encounterclass text NOT NULL
);
CREATE TABLE medications (
    line bigint, start timestamptz NOT NULL, stop timestamptz, patient text NOT NULL,
    encounter text NOT NULL, code text NOT NULL, description text NOT NULL
);
