"""200 patients pick their letters up at once: the second factor, then the ciphertext.

The service as it is shipped, one process, plain HTTP on this machine as behind a proxy. Each
patient has a letter, a connection and an address of the network of their own; all begin at the same
instant, answer, fetch and unlock. Beside it, in the same run and by the same client, a bare FastAPI
endpoint that echoes as many requests. What no service can be faster than is the slow hash itself,
which is meant to be slow: PATIENTS of them over all cores. PATIENTS=500 asks for more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from uuid import uuid4

import httpx
from harness import Figure, at_most, publish
from reengage import store
from reengage.embedded import postgres
from reengage.embedded.home import copy_home
from reengage.keys import Keyring, ensure_keyring
from reengage.pipeline.deposits import seal_deposit
from reengage.sealing import portal
from reengage.sealing.factor import Factor, verifier
from reengage.settings import HOME
from serving import serving
from sqlalchemy import Engine, text

PATIENTS = int(os.environ.get("PATIENTS", "200"))
ROUNDS = 3
ROLE = "patient_portal"
ANSWER = {"birth_date": "1956-03-14", "second": "68102"}
FACTOR = Factor(date(1956, 3, 14), "68102")
PAGE = portal.Page("A letter", "word " * 600, "<p>word</p>" * 1500)
MOST_OVER_THE_HASH = 1.5
"""p95 as a multiple of what the hashes alone take on all cores: what else a pick-up costs, of the
service, the store and the client on the same cores, may be half of its hash."""
ECHO = """
from fastapi import FastAPI, Request
app = FastAPI()
@app.post("/echo")
async def echo(request: Request):
    return await request.json()
"""


@dataclass(frozen=True)
class Letter:
    """What one patient has."""

    message_id: str
    key: bytes


def main() -> int:
    """Measure and publish."""
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        keyring = ensure_keyring(base / "keys")
        home = copy_home(HOME, base / "home")
        with postgres.running(base / "pg") as server:
            engine = store.connect(server.url("store"))
            store.migrate(engine, HOME)
            postgres.ensure_member(server, ROLE, "reengage_portal")
            rounds = []
            environment = {
                "REENGAGE_STORE_URL": server.url("store", ROLE),
                "REENGAGE_KEYRING": str(keyring.directory),
                "REENGAGE_HOME": str(home),
            }
            with engine.begin() as connection:
                store.require_keyring(connection, keyring)
            command = ["-m", "reengage", "portal", "--behind-proxy", "127.0.0.1"]
            with serving(command, environment, base / "portal.log") as address:
                for _ in range(ROUNDS):
                    letters = _leave(engine, keyring)
                    rounds.append(_at_once(address, [_picks_up(one) for one in letters]))
        with _echo(base) as address:
            echoed = [_at_once(address, [_echoes] * PATIENTS) for _ in range(ROUNDS)]
    return publish("portal", _note(), _figures(rounds, echoed, _hashes(keyring)))


def _figures(rounds: list[list[float]], echoed: list[list[float]], floor: float) -> list[Figure]:
    found = {share: median(_share(one, share) for one in rounds) for share in (0.5, 0.95, 1.0)}
    echo = median(_share(one, 0.95) for one in echoed)
    names = {0.5: "half of the pick-ups", 0.95: "p95 of the pick-ups", 1.0: "the slowest pick-up"}
    figures = [
        at_most(f"{names[share]}, {PATIENTS} at once", value, "s", baseline=echo, target=None)
        for share, value in found.items()
    ]
    return [
        *figures,
        at_most(f"{PATIENTS} slow hashes on all cores", floor, "s", baseline=None, target=None),
        at_most("p95 over that", found[0.95] / floor, "times", baseline=None,
                target=MOST_OVER_THE_HASH),
    ]  # fmt: skip


def _note() -> str:
    return (
        "baseline: p95 of a bare FastAPI echo endpoint, as many patients and requests, same client."
        " Every pick-up of every round succeeded."
    )


def _share(took: list[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


def _leave(engine: Engine, keyring: Keyring) -> list[Letter]:
    """Letters at the portal, as a claim leaves them."""
    run, now = uuid4(), datetime.now(UTC)
    letters = []
    with ThreadPoolExecutor() as pool:
        made = [portal.deposit(PAGE) for _ in range(PATIENTS)]
        known = list(
            pool.map(lambda d: verifier(FACTOR, d.message_id, keyring.authenticator), made)
        )
    with engine.begin() as connection:
        connection.execute(text(
            "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256,"
            " vendor, baa_id) VALUES (:r, 'bench', '2026-01-01', 'live', 'x', 'x', 'x', 'x')"
        ), {"r": run})  # fmt: skip
        for number, (left, hashed) in enumerate(zip(made, known, strict=True)):
            one = {"l": uuid4(), "r": run, "p": f"{number:032}", "t": f"{run}-{number}"}
            connection.execute(text(
                "INSERT INTO letter (letter_id, campaign, patient, period, run_id, campaign_date,"
                " sender_run_id, chunk, message_id, sealed, template_sha256, expires_at)"
                " VALUES (:l, 'bench', :p, :t, :r, '2026-01-01', :r, 0, 'x', '', 'x', now())"
            ), one)  # fmt: skip
            connection.execute(text(
                "INSERT INTO portal_message (message_id, letter_id, patient, sealed, expires_at,"
                " verifier) VALUES (:m, :l, :p, :s, :e, :v)"
            ), one | {
                "m": left.message_id, "v": hashed, "e": now + timedelta(days=1),
                "s": seal_deposit(keyring, left.message_id, left.ciphertext),
            })  # fmt: skip
            letters.append(Letter(left.message_id, left.key))
    return letters


Patient = Callable[[httpx.AsyncClient, dict[str, str]], Awaitable[None]]


def _picks_up(letter: Letter) -> Patient:
    async def patient(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
        path = f"/api/letters/{letter.message_id}"
        answered = await client.post(f"{path}/sessions", json=ANSWER, headers=headers)
        answered.raise_for_status()
        bearer = {"authorization": f"Bearer {answered.json()['session']}"}
        sealed = await client.get(f"{path}/ciphertext", headers=headers | bearer)
        sealed.raise_for_status()
        opened = portal.pick_up(sealed.content, key=letter.key, message_id=letter.message_id)
        assert opened == PAGE

    return patient


async def _echoes(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for _ in range(2):
        (await client.post("/echo", json=ANSWER, headers=headers)).raise_for_status()


def _at_once(address: str, patients: list[Patient]) -> list[float]:
    """Seconds that each took, all begun at the same instant, connections open before."""

    async def one(number: int, patient: Patient, start: asyncio.Event, ready: asyncio.Semaphore
                  ) -> float:  # fmt: skip
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            headers = {"x-forwarded-for": f"203.0.{number // 250}.{number % 250}"}
            ready.release()
            await start.wait()
            began = perf_counter()
            await patient(client, headers)
            return perf_counter() - began

    async def all_of_them() -> list[float]:
        start, ready = asyncio.Event(), asyncio.Semaphore(0)
        tasks = [
            asyncio.create_task(one(number, patient, start, ready))
            for number, patient in enumerate(patients)
        ]
        for _ in tasks:
            await ready.acquire()
        start.set()
        return list(await asyncio.gather(*tasks))

    return asyncio.run(all_of_them())


def _hashes(keyring: Keyring) -> float:
    """Seconds that as many slow hashes take, all cores at work and nothing else to do."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        began = perf_counter()
        list(pool.map(lambda n: verifier(FACTOR, f"{n:022}", keyring.authenticator),
                      range(PATIENTS)))  # fmt: skip
        return perf_counter() - began


@contextmanager
def _echo(base: Path) -> Iterator[str]:
    (base / "echo.py").write_text(ECHO, encoding="utf-8")
    command = ["-m", "uvicorn", "echo:app", "--log-level", "error", "--app-dir", str(base)]
    with serving(command, {}, base / "echo.log") as address:
        yield address


if __name__ == "__main__":
    sys.exit(main())
