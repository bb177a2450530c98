"""Fixtures: a real PostgreSQL for all tests, and a practice with a warehouse, a store and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from daily import Practice
from databases import Makes, create_database, drop_database, own_server
from memory import in_memory
from openlineage_spec import Spec
from reengage.embedded.certificates import Certificates
from reengage.embedded.home import copy_home
from reengage.embedded.postgres import Postgres
from reengage.embedded.relay import RelayProcess
from reengage.keys import ensure_keyring
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import HostileRelay
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
    one Airflow, those of logging in another, the portal's tests one practice with its letters and
    its service, those of the DAG files what Airflow makes of them.

    Not `--dist loadgroup`: xdist 3.8 writes the group into `_nodeid`, which pytest 9.2 no longer
    reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        rooms = ("whole_run", "portal", "log_in", "dags")
        return next((room for room in rooms if f"/{room}/" in file), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole runs, the longest, first."""
    items.sort(key=lambda item: "whole_run" not in item.path.parts)


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For databases and homes, hundreds of small files each; gone at the end in any case."""
    with in_memory(tmp_path_factory.mktemp("disk")) as directory:
        yield directory


@pytest.fixture(scope="session")
def server(memory: Path) -> Iterator[Postgres]:
    """A PostgreSQL server of the tests' own."""
    with own_server(memory / "pg") as running:
        yield running


@pytest.fixture
def database(server: Postgres) -> Iterator[Makes]:
    """Makes an empty database, or one that is a copy of another; gives its URL."""
    made: list[str] = []

    def create(template: str | None = None) -> str:
        made.append(create_database(server, template or "template1"))
        return made[-1]

    yield create
    for url in made:
        drop_database(server, url)


@pytest.fixture
def store_url(database: Makes) -> str:
    """A store of the newest schema, empty."""
    return database("store")


@pytest.fixture(scope="session")
def empty_world(server: Postgres) -> str:
    """The template of every `world`."""
    with World.create(create_database(server, name="empty_world")):
        return "empty_world"


@pytest.fixture
def world(database: Makes, empty_world: str) -> Iterator[World]:
    """A warehouse whose contract views are tables, to be filled patient by patient."""
    with World.opened(database(empty_world)) as made:
        yield made


@pytest.fixture
def home(memory: Path) -> Iterator[Path]:
    """A copy of the project's data files, to be spoiled."""
    yield copy_home(HOME, directory := memory / f"home{next(_NUMBERS)}")
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def relay_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What relays of the tests show, and whom to trust: the same for all, so that the sender's
    context is made once, which takes longer than TLS."""
    return good(tmp_path_factory.mktemp("relays") / "certificates")


@pytest.fixture
def hostile(relay_certificates: Certificates) -> Iterator[HostileRelay]:
    """A relay that does what its script says and remembers what it took."""
    with HostileRelay(relay_certificates) as relay:
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
def keys(made_keyring: Path, tmp_path: Path) -> Path:
    """A keyring's folder, the test's own."""
    return shutil.copytree(made_keyring, tmp_path / "keys")


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
