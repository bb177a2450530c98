"""Fixtures: a practice whose letters have left, and the messages that come back of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from daily import Practice
from databases import Makes, create_database
from mailed import Mailed
from notices import Sent
from ready import move_in
from reengage.embedded.postgres import Postgres
from reengage.pipeline.send import send
from reengage.practice import load_practice
from reengage.settings import HOME
from simulators.certificates import good
from simulators.smtp import DROP, HostileRelay
from world import World

LETTERS = 4


@pytest.fixture(scope="session")
def template(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailed]:
    """What each test gets a copy of."""
    base = tmp_path_factory.mktemp("mailed")
    create_database(server, name="mailed_world")
    create_database(server, "store", "mailed_store")
    certificates = good(base / "certificates")
    with (
        World.create(server.url("mailed_world")) as world,
        HostileRelay(certificates) as relay,
    ):
        relay.script = {"reply": ["250 2.0.0 ok"] * (LETTERS - 1) + [DROP]}
        for number in range(LETTERS):
            world.patient(f"p{number}")
        practice = Practice.create(world, server.url("mailed_store"), HOME, base, relay)
        run = practice.open("appointment_reminder")
        [chunk] = practice.hurry(run)
        assert send(run, chunk) == {"sent": LETTERS - 1, "unknown": 1}
        run.store.dispose()
        [row] = practice.rows("SELECT letter_id FROM letter WHERE state = 'unknown'")
        unknown = str(row["letter_id"]).replace("-", "")
        letters = {}
        for letter in map(Sent.of, relay.letters):
            key = "lost" if letter.letter_id == unknown else f"p{len(letters)}"
            letters[key] = letter
        assert sorted(letters) == ["lost", "p0", "p1", "p2"]
        yield Mailed(practice, letters)


@pytest.fixture
def mailed(template: Mailed, database: Makes, tmp_path: Path) -> Mailed:
    """The practice with a store and keys of its own."""
    move_in(url := database("mailed_store"))
    shutil.copytree(template.practice.settings.keyring, tmp_path / "keys")
    settings = replace(template.practice.settings, store_url=url, keyring=tmp_path / "keys")
    return Mailed(replace(template.practice, settings=settings), template.letters)


@pytest.fixture
def bounce_domain(home: Path) -> Path:
    """A home whose practice has a domain for what comes back."""
    path = home / "practice.yaml"
    content = path.read_text(encoding="utf-8")
    content += "returns: {bounce_domain: bounce.prairie.example.org, soft_bounces: 2}\n"
    path.write_text(content, encoding="utf-8")
    load_practice(path)
    return home
