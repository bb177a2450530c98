-- Source tables for OMOP CDM 5.4: the columns that the contract needs, and no other.
-- `line` is where a row stands in its file, for 2_faults.sql. `concept` has what is referred to;
-- `named` and the side tables stay empty, and `provided` too, unless the practice has such files.
CREATE TABLE person (
    line bigint, person_id bigint NOT NULL, year_of_birth bigint NOT NULL, month_of_birth bigint,
    day_of_birth bigint, birth_datetime timestamp, ethnicity_concept_id bigint, location_id bigint
);
CREATE TABLE death (line bigint, person_id bigint NOT NULL, death_date date NOT NULL);
CREATE TABLE location (
    line bigint, location_id bigint NOT NULL, address_1 text, city text, state text, zip text
);
CREATE TABLE care_site (
    line bigint, care_site_id bigint NOT NULL, care_site_name text, location_id bigint
);
CREATE TABLE visit_occurrence (
    line bigint, visit_occurrence_id bigint NOT NULL, person_id bigint NOT NULL,
    visit_concept_id bigint NOT NULL, visit_start_date date NOT NULL, visit_start_datetime timestamp,
    visit_end_date date, visit_end_datetime timestamp, care_site_id bigint
);
CREATE TABLE drug_exposure (
    line bigint, drug_exposure_id bigint NOT NULL, person_id bigint NOT NULL,
    drug_concept_id bigint NOT NULL, drug_exposure_start_date date NOT NULL,
    drug_exposure_start_datetime timestamp, drug_exposure_end_date date, stop_reason text,
    refills bigint, days_supply bigint
);
CREATE TABLE concept (line bigint, concept_id bigint NOT NULL, concept_name text NOT NULL);
CREATE TABLE named (line bigint, person_id bigint NOT NULL, given_name text NOT NULL, language text);
CREATE TABLE provided (view text NOT NULL);
-- include: sources/parts/side_tables.sql
ALTER TABLE contact ADD COLUMN line bigint;
ALTER TABLE representative ADD COLUMN line bigint;
ALTER TABLE "authorization" ADD COLUMN line bigint;
ALTER TABLE restriction ADD COLUMN line bigint;
ALTER TABLE opt_out ADD COLUMN line bigint;
ALTER TABLE programme ADD COLUMN line bigint;
