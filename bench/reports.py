"""The pages over a million letters and their ledger: p50 and p95 of each, five visitors at once.

The app as the plugin mounts it, in a server of its own with one worker; who asks is told by a
header in place of Airflow's session. Each page writes its access record, as always. Baseline is the
style sheet from the same server by the same visitors: what any answer takes at least. What store,
ledger and warehouse hold: days.py, recorded.py. What is filtered by a day looks where the visitors'
own access records do not lie. LETTERS=50000 measures that many.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

import httpx
from days import CAMPAIGN, DAG, DAG_RUN, DAYS, LAST, PATIENT, fill
from harness import Figure, at_most, publish
from reengage import store
from reengage.embedded import postgres
from reengage.keys import ensure_keyring
from serving import serving
from sqlalchemy import text

LETTERS = int(os.environ.get("LETTERS", "1000000"))
USERS = 5
TIMES = 20
"""Requests of each visitor for each page."""
FILE_TIMES = 4
"""The same for a file, and for what derives all of the ledger."""
MOST_MS = 300
OFFICER = "Compliance Officer"
SERVER = """
import fastapi
from reengage.reports.app import build_app
from reengage.reports.auth import Visitor
async def visitor(request: fastapi.Request) -> Visitor:
    return Visitor("bench", frozenset({request.headers["x-role"]}))
app = build_app(visitor)
"""


@dataclass(frozen=True)
class Page:
    """What is asked for, and as whom."""

    path: str
    role: str = OFFICER
    form: Mapping[str, str] | None = None
    """Sent where the page is asked for by a form."""
    is_file: bool = False
    """Files are measured and promised nothing."""
    derives: bool = False
    """Nor is what derives the tree of all entries again before it answers."""


def main() -> int:
    """Measure and publish."""
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        keyring = ensure_keyring(base / "keys")
        with postgres.running(base / "pg") as server:
            fill(server, keyring, LETTERS)
            entries = _entries(server)
            environment = {
                "REENGAGE_STORE_URL": server.url("store"),
                "REENGAGE_WAREHOUSE_URL": server.url("warehouse"),
                "REENGAGE_KEYRING": str(keyring.directory),
                "REENGAGE_PINNED_NOW": f"{LAST + timedelta(days=2)}T17:00:00+00:00",
            }
            (base / "pages.py").write_text(SERVER, encoding="utf-8")
            command = ["-m", "uvicorn", "pages:app", "--log-level", "error", "--app-dir", str(base)]
            pages = _pages(entries)
            with serving(command, environment, base / "pages.log") as address:
                took = {name: _measured(address, page) for name, page in pages.items()}
    free = {name for name, page in pages.items() if page.is_file or page.derives}
    return publish("reports", _note(entries), _figures(took, free | {"style sheet"}))


def _entries(server: postgres.Postgres) -> int:
    engine = store.connect(server.url("store"))
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT size FROM ledger_head")).scalar_one()
    engine.dispose()
    return found


def _pages(entries: int) -> dict[str, Page]:
    run = f"/dags/{DAG}/runs/{quote(DAG_RUN.format(day=LAST), safe='')}"
    before = LAST - timedelta(days=20)
    asked = {"patient": PATIENT, "from": f"{LAST - timedelta(days=DAYS)}", "to": f"{LAST}"}
    pages = {
        "style sheet": Page("/static/reports.css", "Analyst"),
        "overview": Page("/", "Analyst"),
        "overview, officer": Page("/"),
        "campaign": Page(f"/campaigns/{CAMPAIGN}", "Analyst"),
        "campaign, officer": Page(f"/campaigns/{CAMPAIGN}"),
        "run": Page(run, "Data Engineer"),
        "run, analyst": Page(run, "Analyst"),
        "compliance": Page("/compliance"),
        "ledger": Page("/compliance/ledger"),
        "ledger, one kind": Page(f"/compliance/ledger?kind=access&to={before}"),
        "entry": Page(f"/compliance/ledger/{entries // 3}"),
        "access log": Page("/compliance/access"),
        "access log, one visitor": Page(f"/compliance/access?actor=airflow:ada&to={before}"),
        "accounting's form": Page("/compliance/disclosures"),
        "accounting": Page("/compliance/disclosures", form=asked, derives=True),
        "agreements": Page("/compliance/agreements"),
        "unknown letters": Page("/compliance/unknown"),
        "approvals": Page("/compliance/approvals"),
        "alerts": Page("/compliance/alerts"),
        "preview's form": Page("/compliance/preview"),
        "test letter's form": Page(f"/campaigns/{CAMPAIGN}/test-letter", "Data Engineer"),
        "keys": Page("/compliance/keys"),
    }
    for form in ("csv", "parquet", "pdf"):
        pages |= {
            f"campaign as {form}": Page(f"/campaigns/{CAMPAIGN}/export.{form}", is_file=True),
            f"run as {form}": Page(f"{run}/export.{form}", is_file=True),
            f"ledger as {form}": Page(
                f"/compliance/ledger/export.{form}?kind=access&to={before}", is_file=True
            ),
        }
    for shape in ("csv", "pdf"):
        pages[f"accounting as {shape}"] = Page(
            "/compliance/disclosures", form={**asked, "as": shape}, is_file=True
        )
    return pages


def _measured(address: str, page: Page) -> list[float]:
    """Milliseconds of each request, all visitors at once, after one that warms up."""
    headers = {"x-role": page.role, "origin": address}

    def visitor(times: int) -> list[float]:
        with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
            found = []
            for _time in range(times):
                began = perf_counter()
                if page.form is None:
                    answer = client.get(page.path)
                else:
                    answer = client.post(page.path, data=dict(page.form))
                found.append(1000 * (perf_counter() - began))
                answer.raise_for_status()
            return found

    times = FILE_TIMES if page.is_file or page.derives else TIMES
    visitor(1)
    with ThreadPoolExecutor(USERS) as pool:
        return [one for found in pool.map(visitor, [times] * USERS) for one in found]


def _figures(took: dict[str, list[float]], promised_nothing: set[str]) -> list[Figure]:
    floor = {share: _share(took["style sheet"], share) for share in (0.5, 0.95)}
    return [
        at_most(
            f"{name}, p{share * 100:.0f}", _share(found, share), "ms", baseline=floor[share],
            target=MOST_MS if share == 0.95 and name not in promised_nothing else None,
        )
        for name, found in took.items()
        for share in (0.5, 0.95)
    ]  # fmt: skip


def _share(took: Sequence[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


def _note(entries: int) -> str:
    return (
        f"{LETTERS:,} letters of {DAYS} days, {entries:,} entries of the ledger; {USERS} visitors"
        f" at once, {TIMES} requests each, {FILE_TIMES} of files and the accounting, one worker.\n"
        "baseline: the style sheet from the same server, the same share."
    )


if __name__ == "__main__":
    sys.exit(main())
