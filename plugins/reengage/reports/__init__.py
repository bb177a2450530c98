"""The reports: pages in Airflow's UI for analysts, compliance officers and data engineers."""
