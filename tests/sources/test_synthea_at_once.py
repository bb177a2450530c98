"""Loading a Synthea export while it is killed, read or loaded again, and what a reader may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from export import SmallExport, contents, count, reader
from reengage import warehouse
from reengage.contract import load_contract
from reengage.errors import StoreError
from reengage.settings import HOME
from reengage.sources import loading, synthea
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.long

# --- killed halfway ------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from reengage.sources import loading, synthea
from sqlalchemy import create_engine

def halt(*_):
    print("halfway", flush=True)
    sys.stdin.read()

def read_half(directory, table, real=loading.read_rows):
    for row in real(directory, table):
        yield row
        if table.file == "medications.csv":
            halt()

where = sys.argv[3]
if where == "reading":
    loading.read_rows = read_half
elif where == "built":
    loading._swap = halt
else:
    loading.grant_reader = halt
loading.load(create_engine(sys.argv[1]), synthea.SOURCE, Path(sys.argv[2]))
"""


@pytest.mark.parametrize("where", ["reading", "built", "swapped"])
def test_a_load_killed_halfway_leaves_the_old_and_is_made_up_by_the_next(
    loaded: Engine, export: SmallExport, tmp_path: Path, where: str
) -> None:
    before = contents(loaded)
    newer = SmallExport.write(tmp_path / "newer")
    newer.add("patients", Id="pat-4")
    arguments = [loaded.url.render_as_string(hide_password=False), str(newer.directory), where]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HOME / "plugins")},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"halfway\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    after = contents(loaded)  # waits for the killed session's locks, where it held any
    assert {name: rows for name, rows in after.items() if "_next." not in name} == before
    assert loading.already_loaded(loaded, synthea.SOURCE, export.directory)
    assert not loading.already_loaded(loaded, synthea.SOURCE, newer.directory)

    loading.load(loaded, synthea.SOURCE, newer.directory)
    final = contents(loaded)
    assert len(final["contract.patient"]) == 4
    assert [name for name in final if "_next." in name] == []


# --- while others read or load -------------------------------------------------------------------


@contextmanager
def load_beside(engine: Engine, directory: Path) -> Iterator[Future[loading.LoadReport]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(loading.load, engine, synthea.SOURCE, directory)


def wait_for_lock(engine: Engine, role: str) -> None:
    """Until a session of this role waits for another's lock."""
    deadline = monotonic() + 30
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename = :role AND wait_event_type = 'Lock' AND wait_event <> 'advisory'"
    )
    while monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(waiting, {"role": role}).scalar():
                return
    raise AssertionError(f"no session of {role} came to wait")


def snapshot(connection: Connection) -> None:
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


@pytest.mark.parametrize("first", ["patient", "medication", "opt_out", "load"])
def test_who_is_reading_goes_on_reading_the_old_and_the_load_waits(
    loaded: Engine, export: SmallExport, first: str
) -> None:
    with loaded.connect() as connection:
        old = {v.name: count(connection, f'"{v.name}"') for v in load_contract(HOME).views}
    export.add("patients", Id="pat-4")
    with reader(loaded).connect() as connection:
        snapshot(connection)
        assert count(connection, first) == old[first]
        with load_beside(loaded, export.directory) as load:
            wait_for_lock(loaded, "postgres")
            # Views that it had not touched before are where two could wait for each other.
            for view, rows in old.items():
                assert count(connection, f'"{view}"') == rows
            assert not load.done()
            connection.rollback()
            load.result(timeout=30)
        assert count(connection, "patient") == old["patient"] + 1


def test_who_comes_during_the_build_reads_the_old_at_once(
    loaded: Engine, export: SmallExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.add("patients", Id="pat-4")
    built, go_on = threading.Event(), threading.Event()
    real = loading._require_sound

    def halt(*arguments: Any) -> None:
        built.set()
        go_on.wait(30)
        real(*arguments)

    monkeypatch.setattr(loading, "_require_sound", halt)
    with load_beside(loaded, export.directory) as load, reader(loaded).connect() as connection:
        assert built.wait(30)
        connection.execute(text("SET statement_timeout = '5s'"))
        assert count(connection) == 3
        connection.rollback()
        go_on.set()
        load.result(timeout=30)
        assert count(connection) == 4


@pytest.mark.parametrize("prepare", [snapshot, lambda connection: None], ids=["snapshot", "plain"])
def test_who_comes_during_the_swap_reads_all_of_the_new(
    loaded: Engine,
    export: SmallExport,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Connection], None],
) -> None:
    export.add("patients", Id="pat-4")
    swapped, go_on = threading.Event(), threading.Event()
    real = loading.grant_reader

    def halt(connection: Connection) -> None:
        swapped.set()
        go_on.wait(30)
        real(connection)

    def read() -> dict[str, int]:
        with reader(loaded).connect() as connection:
            prepare(connection)
            return {view: count(connection, view) for view in ("patient", "visit", "contact")}

    monkeypatch.setattr(loading, "grant_reader", halt)
    with load_beside(loaded, export.directory) as load, ThreadPoolExecutor(1) as pool:
        assert swapped.wait(30)
        reading = pool.submit(read)
        wait_for_lock(loaded, warehouse.READER)
        go_on.set()
        load.result(timeout=30)
        assert reading.result(timeout=30) == {"patient": 4, "visit": 3, "contact": 3}


def test_readers_that_never_pause_are_named_and_nothing_changes(
    loaded: Engine, export: SmallExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(loaded)
    monkeypatch.setattr(loading, "SWAP_PATIENCE_SECONDS", 0.0)
    export.add("patients", Id="pat-4")
    with reader(loaded).connect() as connection:
        count(connection)
        with pytest.raises(StoreError, match=r"being read .* nothing was changed; end the session"):
            loading.load(loaded, synthea.SOURCE, export.directory)
    assert {n: rows for n, rows in contents(loaded).items() if "_next." not in n} == before


def test_two_loads_at_once_take_turns(engine: Engine, tmp_path: Path) -> None:
    exports = [SmallExport.write(tmp_path / str(number)) for number in range(4)]
    for number, export in enumerate(exports):
        for extra in range(number):
            export.add("patients", Id=f"more-{extra}")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda e: loading.load(engine, synthea.SOURCE, e.directory), exports))
    assert [report.tables["patients"] for report in found] == [3, 4, 5, 6]
    with engine.connect() as connection:
        assert count(connection) in {3, 4, 5, 6}
    assert (
        sum(loading.already_loaded(engine, synthea.SOURCE, export.directory) for export in exports)
        == 1
    )


# --- who may do what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM synthea.patients",
        "SELECT * FROM synthea.load",
        "INSERT INTO contract.visit (visit_key, patient_key) VALUES ('v', 'p')",
        "UPDATE contract.visit SET patient_key = 'p'",
        "DELETE FROM contract.visit",
        "TRUNCATE synthea.patients",
        "CREATE TABLE contract.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE synthea.mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "DROP VIEW contract.patient",
        "ALTER SCHEMA contract RENAME TO mine",
        "COPY contract.visit TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE postgres",
    ],
)  # PRV-19
def test_the_reader_may_read_the_contract_and_do_nothing_else(kept: Engine, statement: str) -> None:
    before = contents(kept)
    with reader(kept).connect() as connection:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|permission to"):
            connection.execute(text(statement))
        connection.rollback()
        for view in load_contract(HOME).views:
            connection.execute(text(f'SELECT * FROM contract."{view.name}"')).all()
    assert contents(kept) == before


def test_the_reader_may_make_the_temporary_tables_that_the_gate_needs(kept: Engine) -> None:
    with reader(kept).connect() as connection:
        connection.execute(text((HOME / "sql" / "gate" / "session.sql").read_text()))
        connection.execute(text("INSERT INTO subject (patient_key, staged) VALUES ('p', true)"))
        assert connection.execute(text("SELECT patient_key FROM subject")).scalar_one() == "p"


def test_the_reader_reads_the_views_of_a_later_load_too(
    loaded: Engine, export: SmallExport
) -> None:
    loading.load(loaded, synthea.SOURCE, export.directory)
    with reader(loaded).connect() as connection:
        assert count(connection) == 3
