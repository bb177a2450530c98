"""docs/retention.md, made of the table."""

from __future__ import annotations

from pathlib import Path

from reengage.retention.table import SIX_YEARS, TABLE, Kept, kept

CLEANED = (
    "_xcom_archive", "asset_event", "callback", "celery_taskmeta", "celery_tasksetmeta",
    "connection_test_request", "dag", "dag_run", "dag_version", "deadline", "import_error", "job",
    "partitioned_asset_key_log", "revoked_token", "session", "task_instance",
    "task_instance_history", "task_reschedule", "task_state_store", "trigger", "xcom",
)  # fmt: skip
"""Tables of Airflow's that `airflow db clean` may empty after days: all that it knows but its audit
log, which has its own term. It takes no tables that it is to leave."""

_DAYS = kept("airflow_rows").term.days
_HEAD = """# What is kept, how long, and why

Made by `make fix` from the table that the code goes by; `make lint` fails when it is out of date. \
The DAG `reengage_retention` applies it daily at 06:10 UTC, after the audit; `python -m reengage \
purge` does the same by hand. What went is on record in the ledger, in numbers. What a rule holds \
for six years goes after them and not before; the database itself refuses to drop a younger month. \
[Rules](compliance.md).

| what | how long | why | rules | removed by |
|---|---|---|---|---|
"""
_TAIL = f"""
## Airflow's own

Tasks have no way into Airflow's database, so whoever runs Airflow does this, weekly, on the \
scheduler's machine (`docker compose exec scheduler bash`). Not younger than {_DAYS} days: the \
audit's `reconcile` compares its tries with the ledger, and takes up to a day. Its audit log, \
table `log`, stays six years: who triggered, cleared or marked what (SEC-19). It does not say who \
was given which role: that the practice's directory knows.

```
TABLES={",".join(CLEANED)}
clean() {{
  airflow db clean --tables "$1" --clean-before-timestamp "$(date -u -d "$2 ago" +%FT%TZ)" \\
    --skip-archive --yes
}}
clean "$TABLES" "{_DAYS} days"
clean log "{SIX_YEARS} years"
LOGS="$(airflow config get-value logging base_log_folder)"
PARSED="$(airflow config get-value logging dag_processor_child_process_log_directory)"
find "$PARSED" -type f -mtime +{kept("parsing_logs").term.days} -delete
find "$LOGS" -type f -mtime +{kept("airflow_logs").term.days} -delete
find "$LOGS" -mindepth 1 -type d -empty -delete
```

In containers and on Kubernetes the service `tidy` removes the files; `airflow db clean` is left, \
in the scheduler's container or pod.

None of it holds anything of a patient, and none is the record of what was done with patients' \
data: that is the ledger, which nothing removes. Airflow's database is in no backup of ours: dump \
it as often as the audit log is worth ([how](../deploy/compose/README.md#backup-and-restore)).

## Backups

A dump holds what retention removed since. Each `python -m reengage backup` removes those that are \
older than the table says, never the newest; `--keep-days` says another number. What was sealed \
under a destroyed key is unreadable in all of them ([backup](backup.md)).
"""


def retention_markdown() -> str:
    """The page, always the same."""
    return _HEAD + "".join(f"{_row(one)}\n" for one in TABLE) + _TAIL


def pages(home: Path) -> dict[Path, str]:
    """The file that is made."""
    return {home / "docs" / "retention.md": retention_markdown()}


def _row(one: Kept) -> str:
    where = [f"`{name}`" for name in one.tables] + [f"`REENGAGE_{name}`" for name in one.settings]
    what = one.what + (f"<br>{', '.join(where)}" if where else "")
    cells = (what, one.term.words, one.why, ", ".join(one.rules), one.by)
    return f"| {' | '.join(cells)} |"
