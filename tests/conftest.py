"""Fixtures: a real PostgreSQL for all tests, and a practice with a warehouse, a store and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from daily import Practice
from openlineage_spec import Spec
from reengage import store
from reengage.embedded import postgres
from reengage.embedded.home import copy_home
from reengage.embedded.relay import RelayProcess
from reengage.keys import ensure_keyring
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, text
from world import World
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A busy machine is no fault of the code.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

_NUMBERS = count()
_SHARED = Path(os.environ.get("REENGAGE_SHARED") or HOME.parent / "shared")


class ByFile(LoadScopeScheduling):
    """Shared out between processes file by file: a file shares its fixtures, the whole runs share
    one Airflow, those of logging in another, and the portal's tests one practice with its letters
    and its service.

    Not `--dist loadgroup`: xdist 3.8 writes the group into `_nodeid`, which pytest 9.2 no longer
    reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        rooms = ("whole_run", "portal", "log_in")
        return next((room for room in rooms if f"/{room}/" in file), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole runs, the longest, first."""
    items.sort(key=lambda item: "whole_run" not in item.path.parts)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Postgres]:
    """A PostgreSQL server of the tests' own."""
    with postgres.running(tmp_path_factory.mktemp("pg") / "data") as running:
        store.migrate(store.connect(running.url("store")), HOME)  # the template of every store
        _without_waiting_for_the_disk(running)
        yield running


def _without_waiting_for_the_disk(running: postgres.Postgres) -> None:
    """Half the time of the tests; waiting is for machines that lose their power."""
    engine = create_engine(running.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("fsync", "full_page_writes"):  # what is told of commits is looked at
            connection.execute(text(f"ALTER SYSTEM SET {name} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


@pytest.fixture
def database(server: postgres.Postgres) -> Callable[[str | None], str]:
    """Makes an empty database, or one that is a copy of another; gives its URL.

    Not dropped afterwards: what was just unlinked makes ext4 search for the next inode.
    """

    def create(template: str | None = None) -> str:
        name = f"t{next(_NUMBERS)}"
        # As files, not block by block through the log: a quarter of the time.
        copied = f"TEMPLATE {template or 'template1'} STRATEGY file_copy"
        engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} {copied}"))
        engine.dispose()
        return server.url(name)

    return create


@pytest.fixture
def store_url(database: Callable[[str | None], str]) -> str:
    """A store of the newest schema, empty."""
    return database("store")


@pytest.fixture
def world(database: Callable[[str | None], str]) -> Iterator[World]:
    """A warehouse whose contract views are tables, to be filled patient by patient."""
    with World.create(database(None)) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of the project's data files, to be spoiled."""
    return copy_home(HOME, tmp_path / "home")


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[HostileRelay]:
    """A relay that does what its script says and remembers what it took."""
    with HostileRelay(good(tmp_path / "certificates")) as relay:
        yield relay


@pytest.fixture(scope="session")
def relay_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """The embedded relay; what it took lies in a Maildir."""
    base = tmp_path_factory.mktemp("relay")
    with RelayProcess(base / "mail", base / "certificates", base / "relay.log") as running:
        yield running


@pytest.fixture(scope="session")
def made_keyring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every practice gets a copy of: making one takes longer than many a test."""
    ensure_keyring(directory := tmp_path_factory.mktemp("made") / "keyring")
    return directory


@pytest.fixture
def practice(
    world: World, store_url: str, home: Path, hostile: HostileRelay, made_keyring: Path,
    tmp_path: Path,
) -> Practice:  # fmt: skip
    """A practice that is ready to write, with the hostile relay as its vendor."""
    shutil.copytree(made_keyring, tmp_path / "keyring")
    return Practice.create(world, store_url, home, tmp_path, hostile)


@pytest.fixture(scope="session")
def synthea() -> Path:
    """The real Synthea export."""
    return _shared("synthea")


@pytest.fixture(scope="session")
def omop() -> Path:
    """The real OMOP tables."""
    return _shared("omop")


@pytest.fixture(scope="session")
def jcs() -> Path:
    """Public vectors of RFC 8785."""
    return _shared("jcs") / "testdata"


@pytest.fixture(scope="session")
def merkle() -> Path:
    """Public vectors of RFC 9162's tree."""
    return _shared("merkle") / "testdata"


@pytest.fixture(scope="session")
def bounces() -> Path:
    """Real bounces and complaints, and what is to be made of them."""
    return _shared("bounces")


@pytest.fixture(scope="session")
def openlineage() -> Spec:
    """The public schemas of OpenLineage, and ours."""
    return Spec(_shared("openlineage") / "spec", HOME / "docs" / "schemas")


def _shared(name: str) -> Path:
    directory = _SHARED / "data" / name
    if not directory.is_dir():
        pytest.skip(f"real data {directory} are not on this machine; set REENGAGE_SHARED")
    return directory
