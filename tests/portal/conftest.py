"""Fixtures of the portal: one service for all its tests, each with letters of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from patients import Portal, open_portal
from reengage.embedded.postgres import Postgres


@pytest.fixture(scope="session")
def portal(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with open_portal(server, tmp_path_factory.mktemp("portal"), patients=150) as up:
        yield up
