"""Lineage: what a task reads and writes and what came of it, as OpenLineage 2-0-2 says it.

Pure: no database, no Airflow, no network. Tasks append these events to the ledger; Airflow's own
provider carries the same datasets. No value of a patient has a place in any of it (OLN-15).
"""
