"""The pages over a million letters: p50 and p95 of each, five visitors at once.

The app as the plugin mounts it, in a server of its own with one worker; who asks is told by a
header in place of Airflow's session. Each page writes its access record, as always. Baseline is the
style sheet from the same server by the same visitors: what any answer takes at least. 100 days of a
campaign, one letter a patient, one of 50 came back; the outcomes as `publish` tells them.
LETTERS=50000 measures that many.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

import httpx
from harness import Figure, at_most, publish
from reengage import store
from reengage.campaigns import load_campaign
from reengage.embedded import postgres
from reengage.keys import Keyring, ensure_keyring
from reengage.outcomes.publish import publish as publish_report
from reengage.pipeline import reported
from reengage.pipeline.run import derive_run_id
from reengage.settings import HOME, Settings
from serving import serving
from sqlalchemy import Engine, text

LETTERS = int(os.environ.get("LETTERS", "1000000"))
DAYS = 100
USERS = 5
TIMES = 20
"""Requests of each visitor for each page."""
MOST_MS = 300
LAST = date(2026, 6, 30)
CAMPAIGN = "medication_reminder"
DAG = f"reengage_{CAMPAIGN}"
DAG_RUN = "scheduled__{day}"
SERVER = """
import fastapi
from reengage.reports.app import build_app
from reengage.reports.auth import Visitor
async def visitor(request: fastapi.Request) -> Visitor:
    return Visitor("bench", frozenset({request.headers["x-role"]}))
app = build_app(visitor)
"""
_RUN = """
INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256, vendor, baa_id,
    living, inactive, candidates, gate, verdicts, opened_at, extracted_at, finished_at)
VALUES (:run, :campaign, :day, 'live', :dag_run, '', 'embedded', 'b', :many * 3, :many * 2, :many,
    'green', '[]', :at, :at, :at)
"""
_BEGINNINGS = """
INSERT INTO beginning (run_id, campaign, dag_run_id, campaign_date, mode, begun_at, ended, ended_at)
SELECT gen_random_uuid(), slug, n::text, CAST(:last AS date) - n::int, 'live',
    CAST(:last AS date) - n * interval '1 day', 'passed', CAST(:last AS date)
FROM unnest(CAST(:slugs AS text[])) AS slug CROSS JOIN generate_series(1, 400) AS n
"""
"""As many as are kept, of each campaign."""
_DECISIONS = """
INSERT INTO decision (run_id, campaign_date, patient, reasons, arm)
SELECT :run, :day, :number || '-' || n, CASE WHEN n % 5 = 0 THEN '{no_authorization}' ELSE '{}' END
    ::text[], CASE WHEN n % 5 = 0 THEN NULL WHEN n % 10 = 1 THEN 'holdout' ELSE 'write' END
FROM generate_series(1, :many) AS n
"""
_LETTERS = """
INSERT INTO letter (campaign, patient, period, run_id, campaign_date, sender_run_id, chunk, state,
    message_id, sealed, seal, template_sha256, expires_at, settled_at, evidence)
SELECT :campaign, :number || '-' || n, '', :run, :day, :run, n / 500,
    CASE WHEN n % 200 = 0 THEN 'refused' ELSE 'sent' END, :number || '.' || n, '', 'tls', '', :at,
    :at, '{"tls_version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "code": 250}'
FROM generate_series(1, :each) AS n
"""
_RESPONSES = """
INSERT INTO response (item, source, kind, verdict, letter_id, at)
SELECT letter_id::text, 'maildir', 'bounce', 'hard', letter_id, settled_at FROM letter
WHERE abs(hashtext(letter_id::text)) % 50 = 0
"""
_FOLLOW_UPS = """
INSERT INTO follow_up (campaign, patient, period, run_id, part, campaign_date, arm, begins_at,
    counts, language, age_band, service_line, described_on, written_on)
SELECT :campaign, patient, '', run_id, 0, campaign_date, arm,
    campaign_date + time '17:00' AT TIME ZONE 'UTC', true, 'en', '40-64', 'ambulatory',
    campaign_date, CASE WHEN arm = 'write' THEN campaign_date END
FROM decision WHERE arm IS NOT NULL
"""
_RETURNS = """
INSERT INTO outcome (follow_up_id, known_on, returned_at)
SELECT follow_up_id, campaign_date + 20, begins_at + interval '20 days' FROM follow_up
WHERE abs(hashint8(follow_up_id)) % 100 < CASE arm WHEN 'write' THEN 30 ELSE 25 END
"""


def main() -> int:
    """Measure and publish."""
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        keyring = ensure_keyring(base / "keys")
        with postgres.running(base / "pg") as server:
            engine = store.connect(server.url("store"))
            store.migrate(engine, HOME)
            _fill(engine, keyring, Settings(HOME, "", server.url("store"), keyring.directory, {}))
            environment = {
                "REENGAGE_STORE_URL": server.url("store"),
                "REENGAGE_WAREHOUSE_URL": server.url("store"),  # nobody asks it
                "REENGAGE_KEYRING": str(keyring.directory),
                "REENGAGE_PINNED_NOW": f"{LAST + timedelta(days=2)}T17:00:00+00:00",
            }
            (base / "pages.py").write_text(SERVER, encoding="utf-8")
            command = ["-m", "uvicorn", "pages:app", "--log-level", "error", "--app-dir", str(base)]
            with serving(command, environment, base / "pages.log") as address:
                took = {
                    name: _measured(address, path, role) for name, (path, role) in _pages().items()
                }
            engine.dispose()
    return publish("reports", _note(), _figures(took))


def _pages() -> dict[str, tuple[str, str]]:
    run = f"/dags/{DAG}/runs/{quote(DAG_RUN.format(day=LAST), safe='')}"
    return {
        "style sheet": ("/static/reports.css", "Analyst"),
        "overview": ("/", "Analyst"),
        "overview, officer": ("/", "Compliance Officer"),
        "campaign": (f"/campaigns/{CAMPAIGN}", "Analyst"),
        "campaign, officer": (f"/campaigns/{CAMPAIGN}", "Compliance Officer"),
        "run": (run, "Data Engineer"),
        "compliance": ("/compliance", "Compliance Officer"),
        "ledger": ("/compliance/ledger", "Compliance Officer"),
        "access log": ("/compliance/access", "Compliance Officer"),
        "unknown letters": ("/compliance/unknown", "Compliance Officer"),
        "approvals": ("/compliance/approvals", "Compliance Officer"),
        "alerts": ("/compliance/alerts", "Compliance Officer"),
        "preview's form": ("/compliance/preview", "Compliance Officer"),
        "test letter's form": (f"/campaigns/{CAMPAIGN}/test-letter", "Data Engineer"),
        "keys": ("/compliance/keys", "Compliance Officer"),
    }


def _fill(engine: Engine, keyring: Keyring, settings: Settings) -> None:
    each = LETTERS // DAYS
    runs = []
    for number in range(DAYS):
        day = LAST - timedelta(days=DAYS - 1 - number)
        dag_run = DAG_RUN.format(day=day)
        run = derive_run_id(DAG, dag_run)
        runs.append(run)
        values = {
            "run": run, "campaign": CAMPAIGN, "day": day, "dag_run": dag_run, "each": each,
            "many": each * 5 // 4, "number": number, "at": datetime.fromisoformat(f"{day}T17:00Z"),
        }  # fmt: skip
        with engine.begin() as connection:
            connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": day})
            for statement in (_RUN, _DECISIONS, _LETTERS):
                connection.execute(text(statement), values)
    with engine.begin() as connection:
        for statement in (_RESPONSES, _FOLLOW_UPS, _RETURNS):
            connection.execute(text(statement), {"campaign": CAMPAIGN})
        slugs = [path.stem for path in (HOME / "campaigns").glob("*.yaml")]
        connection.execute(text(_BEGINNINGS), {"slugs": slugs, "last": LAST - timedelta(days=1)})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    for run in runs:
        with engine.begin() as connection:
            store.require_keyring(connection, keyring)
            reported.keep(connection, HOME, run)
    campaign = load_campaign(HOME, CAMPAIGN)
    for day in (LAST - timedelta(days=30), LAST):
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO outcome_day VALUES (:campaign, :day, :until, 0, 0)"),
                {"campaign": CAMPAIGN, "day": day,
                 "until": datetime.fromisoformat(f"{day + timedelta(days=1)}T05:00Z")},
            )  # fmt: skip
        publish_report(settings, campaign, day)


def _measured(address: str, path: str, role: str) -> list[float]:
    """Milliseconds of each request, all visitors at once, after one that warms up."""

    def visitor(_: int) -> list[float]:
        with httpx.Client(base_url=address, headers={"x-role": role}, timeout=120) as client:
            found = []
            for _time in range(TIMES):
                began = perf_counter()
                answer = client.get(path)
                found.append(1000 * (perf_counter() - began))
                answer.raise_for_status()
            return found

    httpx.get(f"{address}{path}", headers={"x-role": role}, timeout=120).raise_for_status()
    with ThreadPoolExecutor(USERS) as pool:
        return [one for found in pool.map(visitor, range(USERS)) for one in found]


def _figures(took: dict[str, list[float]]) -> list[Figure]:
    floor = {share: _share(took["style sheet"], share) for share in (0.5, 0.95)}
    return [
        at_most(
            f"{name}, p{share * 100:.0f}", _share(found, share), "ms", baseline=floor[share],
            target=MOST_MS if share == 0.95 and name != "style sheet" else None,
        )
        for name, found in took.items()
        for share in (0.5, 0.95)
    ]  # fmt: skip


def _share(took: Sequence[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


def _note() -> str:
    return (
        f"{LETTERS:,} letters of {DAYS} days; {USERS} visitors at once, {TIMES} requests each, one"
        " worker.\nbaseline: the style sheet from the same server, the same share."
    )


if __name__ == "__main__":
    sys.exit(main())
