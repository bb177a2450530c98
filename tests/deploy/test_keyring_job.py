"""The job that makes the keyring, as docker-compose.yaml runs it, with a key service and without.

What stands for the service is the simulator of the documented Transit API, on a socket.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from reengage.keys.envelope import MAGIC
from reengage.settings import HOME
from simulators.vault import TOKEN, FakeVault, serving

JOB = yaml.safe_load((HOME / "docker-compose.yaml").read_text(encoding="utf-8"))["services"][
    "keyring"
]


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with serving(FakeVault()) as found:
        yield found


def run(ring: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The job's own command, with its settings but for the places of the container."""
    _, *command = JOB["command"]
    return subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": str(HOME / "plugins"), "REENGAGE_KEYRING": str(ring), **settings},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def secrets_in(ring: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for folder in ("pseudonym", "portal", "dkim")
        for path in sorted((ring / folder).iterdir())
        if path.suffix in (".key", ".pem")
    ]


def test_under_a_key_service_it_makes_wrapped_keys_once_and_opens_them_at_every_later_start(
    vault: FakeVault, tmp_path: Path
) -> None:
    ring = tmp_path / "keys" / "ring"
    settings = {"REENGAGE_KEY_SERVICE": vault.address, "VAULT_TOKEN": TOKEN}
    made = run(ring, **settings)
    assert (made.returncode, made.stdout) == (0, "made the keyring\n"), made.stderr
    found = secrets_in(ring)
    assert len(found) == 3
    assert all(one.startswith(MAGIC) for one in found)
    assert not (ring / "wrap").exists()
    again = run(ring, **settings)
    assert (again.returncode, again.stdout) == (0, "the keyring opens\n"), again.stderr
    assert secrets_in(ring) == found
    assert TOKEN not in made.stdout + made.stderr + again.stdout + again.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"VAULT_TOKEN": TOKEN}, "name it in REENGAGE_KEY_SERVICE"),
        ({"REENGAGE_KEY_SERVICE": "{address}"}, "refuses the token"),
        (
            {"REENGAGE_KEY_SERVICE": "vault+http://127.0.0.1:9/transit/reengage"},
            "cannot be reached",
        ),
    ],
)
def test_what_does_not_open_stops_the_start_and_says_what_is_missing(
    settings: dict[str, str], told: str, vault: FakeVault, tmp_path: Path
) -> None:
    ring = tmp_path / "ring"
    assert not run(ring, REENGAGE_KEY_SERVICE=vault.address, VAULT_TOKEN=TOKEN).returncode
    said = {name: value.format(address=vault.address) for name, value in settings.items()}
    done = run(ring, HOME=str(tmp_path), **said)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_keyring_that_was_made_without_the_service_is_not_taken_with_it(
    vault: FakeVault, tmp_path: Path
) -> None:
    assert run(tmp_path / "ring").stdout == "made the keyring\n"
    done = run(tmp_path / "ring", REENGAGE_KEY_SERVICE=vault.address, VAULT_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "it lies open" in done.stderr


def test_a_keyring_that_lost_a_key_is_refused(tmp_path: Path) -> None:
    assert not run(tmp_path / "ring").returncode
    next((tmp_path / "ring" / "pseudonym").glob("*.key")).unlink()
    done = run(tmp_path / "ring")
    assert done.returncode == 1
    assert "pseudonym" in done.stderr
