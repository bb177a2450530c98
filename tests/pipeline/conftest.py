"""Fixtures of the rooms that send: letters that are ready, and the relay they go to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from correspondents import Correspondents
from daily import Practice
from databases import Makes
from ready import Ready, composed
from reengage.embedded.postgres import Postgres
from sealed import House
from simulators.smtp import HostileRelay
from world import World


@pytest.fixture(scope="session")
def ready(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    """A practice with five letters composed and checked, for `ready_practice` to copy."""
    with composed(server, tmp_path_factory.mktemp("ready")) as made:
        yield made


@pytest.fixture
def relay(ready: Ready) -> Iterator[HostileRelay]:
    """The hostile relay of `ready_practice`."""
    with HostileRelay(ready.certificates) as running:
        yield running


@pytest.fixture
def ready_practice(ready: Ready, database: Makes, relay: HostileRelay, tmp_path: Path) -> Practice:
    """The ready practice with a store of its own."""
    return ready.copy(database("ready_store"), relay.url, relay.certificates.ca, tmp_path)


@pytest.fixture
def changing_practice(database: Makes, ready_practice: Practice) -> Iterator[Practice]:
    """The same with a warehouse of its own, in which something changes before the letters go."""
    with World.opened(url := database("ready_untouched")) as world:
        yield Practice(world, replace(ready_practice.settings, warehouse_url=url))


@pytest.fixture
def house(practice: Practice, home: Path, tmp_path: Path) -> House:
    correspondents = Correspondents.create(tmp_path / "correspondents")
    correspondents.equip(practice.settings.keyring, "letters@prairie.example.org")
    settings = replace(practice.settings, smime_trust=correspondents.trust)
    return House(replace(practice, settings=settings), correspondents, home)
