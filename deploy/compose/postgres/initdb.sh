#!/usr/bin/env bash
# Runs once, when the data directory is made: four databases, and for each the roles that may enter
# it (extractor, tasks, pages, portal and reporter own nothing). Passwords come from the environment
# by \getenv, never by a command line. The rights of the reengage_ roles are the store's migrations'.
set -euo pipefail
psql -v ON_ERROR_STOP=1 --username postgres --dbname postgres --quiet <<'SQL'
\getenv airflow AIRFLOW_DB_PASSWORD
\getenv store_owner STORE_OWNER_DB_PASSWORD
\getenv tasks TASKS_DB_PASSWORD
\getenv pages PAGES_DB_PASSWORD
\getenv portal PORTAL_DB_PASSWORD
\getenv reporter REPORTER_DB_PASSWORD
\getenv loader LOADER_DB_PASSWORD
\getenv extractor EXTRACTOR_DB_PASSWORD
\getenv marquez MARQUEZ_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE store_owner LOGIN PASSWORD :'store_owner';
CREATE ROLE loader LOGIN PASSWORD :'loader';
CREATE ROLE extractor LOGIN PASSWORD :'extractor';
CREATE ROLE marquez LOGIN PASSWORD :'marquez';
CREATE ROLE reengage_tasks NOLOGIN;
CREATE ROLE reengage_portal NOLOGIN;
CREATE ROLE reengage_reporter NOLOGIN;
GRANT reengage_reporter TO reengage_tasks;  -- the pages read the outcomes as the role that reads those alone
CREATE ROLE pages LOGIN PASSWORD :'pages' IN ROLE reengage_tasks;
CREATE ROLE tasks LOGIN PASSWORD :'tasks' IN ROLE reengage_tasks;
CREATE ROLE portal LOGIN PASSWORD :'portal' IN ROLE reengage_portal;
CREATE ROLE reporter LOGIN PASSWORD :'reporter' IN ROLE reengage_reporter;

CREATE DATABASE airflow OWNER airflow;
\i /etc/reengage/store.sql
CREATE DATABASE warehouse OWNER loader;
CREATE DATABASE marquez OWNER marquez;
REVOKE ALL ON DATABASE airflow, warehouse, marquez, postgres FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE warehouse TO extractor;
SQL
