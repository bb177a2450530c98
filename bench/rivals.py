"""Other ways to send, to the same sink over the same number of connections, without a ledger.

`smtplib` resends one prebuilt message, `bare` says prebuilt octets and hardly listens (the sink's
own ceiling), `hook` is Airflow's SMTP hook called per message, `nodemailer` its pooled transport.
All verify the certificate. Each gives letters a second, the start of its processes left out.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

FOLDER = Path(__file__).parent / "nodemailer"
FROM, TO = "letters@prairie.example.org", "reader@example.org"
_FORK = get_context("fork")


@dataclass(frozen=True)
class Place:
    """Where to send, and what."""

    port: int
    ca: Path
    connections: int
    message: bytes


@dataclass(frozen=True)
class Pace:
    """How fast letters went, and what a letter took of the senders' processor."""

    rate: float
    microseconds: float


def bare(place: Place, letters: int) -> Pace:
    """Octets that were made before, one letter after another."""
    return _together(place, letters, _bare)


def by_smtplib(place: Place, letters: int) -> Pace:
    """One prebuilt message over warm connections."""
    return _together(place, letters, _smtplib)


def by_hook(place: Place, letters: int) -> Pace:
    """Airflow's hook as its operator calls it: a connection for each message."""
    return _together(place, letters, _hook)


def by_nodemailer(
    place: Place, letters: int, scratch: Path, *, composed: bool, key: Path | None = None
) -> float | None:
    """With a `key` (PEM) it signs each by DKIM. None: no node, or npm reached no registry."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    folder = scratch / "nodemailer"
    if not folder.exists():
        shutil.copytree(FOLDER, folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
        if subprocess.run(command, cwd=folder, check=False).returncode:
            return None
    (scratch / "letter.eml").write_bytes(place.message)
    asked = {
        "port": place.port, "ca": str(place.ca), "connections": place.connections,
        "letters": letters, "message": str(scratch / "letter.eml"), "composed": composed,
        "key": str(key) if key else None, "from": FROM, "to": TO,
    }  # fmt: skip
    told = subprocess.run(
        ["node", "send.mjs", json.dumps(asked)],
        cwd=folder, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return letters / float(told.stdout)


def _together(
    place: Place, letters: int, prepare: Callable[[Place], Callable[[int], None]]
) -> Pace:
    """Processes that are all ready before the clock starts, one a connection."""
    each = letters // place.connections
    ready = _FORK.Barrier(place.connections + 1)

    def work() -> None:
        send = prepare(place)
        ready.wait()
        send(each)

    used = _processor_seconds()
    crew = [_FORK.Process(target=work) for _ in range(place.connections)]
    for one in crew:
        one.start()
    ready.wait()
    begun = perf_counter()
    for one in crew:
        one.join()
    seconds = perf_counter() - begun
    if any(one.exitcode for one in crew):
        raise RuntimeError(f"{prepare.__name__} failed")
    sent = each * place.connections
    return Pace(sent / seconds, (_processor_seconds() - used) / sent * 1e6)


def _processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _context(place: Place) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(place.ca))


def _bare(place: Place) -> Callable[[int], None]:
    sock = socket.create_connection(("localhost", place.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secured = _context(place).wrap_socket(sock, server_hostname="localhost")
    secured.recv(4096)
    secured.sendall(b"EHLO bare\r\n")
    secured.recv(4096)
    group = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n" % (
        FROM.encode(), TO.encode(), len(place.message),
    )  # fmt: skip
    group += place.message

    def send(letters: int) -> None:
        for _ in range(letters):
            secured.sendall(group)
            heard = 0
            while heard < 3:
                heard += secured.recv(4096).count(b"\n")

    return send


def _smtplib(place: Place) -> Callable[[int], None]:
    client = smtplib.SMTP_SSL("localhost", place.port, context=_context(place))
    client.ehlo()

    def send(letters: int) -> None:
        for _ in range(letters):
            client.sendmail(FROM, [TO], place.message)
        client.quit()

    return send


def _hook(place: Place) -> Callable[[int], None]:
    extra = {"from_email": FROM, "disable_tls": True, "disable_ssl": False}
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {"conn_type": "smtp", "host": "localhost", "port": place.port, "extra": extra}
    )
    os.environ["SSL_CERT_FILE"] = str(place.ca)
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    page = f"<p>{place.message[: len(place.message) * 2 // 3].decode('latin-1')}</p>"

    def send(letters: int) -> None:
        for _ in range(letters):
            with SmtpHook("bench") as hook:
                hook_: Any = hook
                hook_.send_email_smtp(to=TO, subject="Your appointment", html_content=page)

    return send
