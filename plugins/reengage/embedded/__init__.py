"""The embedded default: PostgreSQL, an SMTP relay and Airflow on one machine, from wheels."""
