"""Fixtures of the portal: one service for all its tests, each with letters of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from patients import Portal, open_portal
from reengage.embedded.postgres import Postgres
from reengage.embedded.relay import RelayProcess
from rooms import environment


@pytest.fixture(scope="session")
def portal(
    server: Postgres, relay_process: RelayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    directory = tmp_path_factory.mktemp("portal")
    with open_portal(server, relay_process, directory, patients=150) as up:
        yield up


@pytest.fixture(scope="module")
def browser(portal: Portal) -> Iterator[Any]:
    from reader import launched  # skips where there is none

    with launched(portal.port) as running:
        yield running


@pytest.fixture
def make_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes a page; afterwards it must have fetched from the portal only, and met no fault."""
    from reader import pages

    with pages(browser) as make:
        yield make


@pytest.fixture
def desk(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is at the practice's command line."""
    for name, value in environment(portal.practice.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
