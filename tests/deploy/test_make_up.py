"""`make up`, with a compose that writes down what it is asked to do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from reengage.deploy import env_file
from reengage.settings import HOME

OLD, NEW = "certificates 0123456789abcdef", "certificates fedcba9876543210"


@dataclass
class Checkout:
    """A directory with the Makefile's own view of the project, and its compose."""

    home: Path

    def up(self, said: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`make up`, where `prepare` says this."""
        (self.home / "said").write_text(said, encoding="utf-8")
        return subprocess.run(
            ["make", "-f", HOME / "Makefile", "-C", self.home, "up", *more,
             f"PYTHON={sys.executable}", f"COMPOSE={self.home}/compose"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def asked(self) -> list[str]:
        return (self.home / "asked").read_text(encoding="utf-8").splitlines()

    @property
    def label(self) -> str | None:
        return env_file.read(self.home / ".env").get(env_file.CERTIFICATES)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "deploy" / "compose").mkdir(parents=True)
    (tmp_path / "plugins").symlink_to(HOME / "plugins")
    compose = tmp_path / "compose"
    compose.write_text(
        '#!/bin/sh\necho "$* [$(grep -s ^TLS_ .env)]" >> asked\n'
        'case "$1" in run) cat said; grep -q ^certificates said;; esac\n',
        encoding="utf-8",
    )
    compose.chmod(0o700)
    return Checkout(tmp_path)


def test_prepare_looks_first_and_what_is_started_bears_the_certificates_name(
    checkout: Checkout,
) -> None:
    done = checkout.up(f"nothing was missing\n{OLD}\n", "WORKERS=4")
    assert done.returncode == 0, done.stderr
    assert checkout.asked == [
        "build prepare []",
        "run -T --rm --no-deps prepare python -m reengage.deploy.prepare --renew []",
        "up -d --scale worker=4 [TLS_CERTIFICATES=0123456789abcdef]",
        "ps [TLS_CERTIFICATES=0123456789abcdef]",
    ]
    assert "nothing was missing" in done.stdout


def test_new_certificates_give_every_service_another_label_and_the_same_ones_none(
    checkout: Checkout,
) -> None:
    checkout.up(f"nothing was missing\n{OLD}\n")
    before = (checkout.home / ".env").read_bytes()
    checkout.up(f"nothing was missing\n{OLD}\n")
    assert (checkout.home / ".env").read_bytes() == before
    checkout.up(f"made certificates for redis\r\n{NEW}\r\n")  # as from a terminal
    assert checkout.label == "fedcba9876543210"
    others = (checkout.home / ".env").read_text(encoding="utf-8").splitlines()[:-1]
    assert others == before.decode().splitlines()[:-1]
    assert (checkout.home / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("said", ["error: no room\n", ""])
def test_nothing_is_started_where_prepare_failed(said: str, checkout: Checkout) -> None:
    done = checkout.up(said)
    assert done.returncode != 0
    assert [one.split()[0] for one in checkout.asked] == ["build", "run"]
    assert checkout.label is None
