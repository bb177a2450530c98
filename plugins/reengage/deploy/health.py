"""Health: is this service doing its work? Exit code 0 = yes, 1 = no, with the reason.

Cheap enough to be asked every few seconds: nothing of Airflow is imported. The api-server, the
portal and the mail sink are asked over TLS, verified, by the name that others use. The scheduler is
asked at its own port, on the loopback. The dag-processor and the triggerer have none: what the
api-server knows of their heartbeats counts. A worker is asked through the broker, as the scheduler
reaches it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from reengage.errors import ReengageError

SECONDS = 10.0
CA = Path("/tls/ca/ca.pem")
MONITOR = "https://api-server:8080/api/v2/monitor/health"


class UnhealthyError(ReengageError):
    """The service does not do its work; the text says what was seen."""


def api_server() -> None:
    """It answers, and reaches its database."""
    _require("metadatabase", _monitor("https://localhost:8080/api/v2/monitor/health"))


def scheduler() -> None:
    """Its own health server says that its heart beats."""
    _get("http://127.0.0.1:8974/health", None)


def dag_processor() -> None:
    """Its heartbeat is fresh, as the api-server knows it."""
    _require("dag_processor", _monitor(MONITOR))


def triggerer() -> None:
    """Its heartbeat is fresh, as the api-server knows it."""
    _require("triggerer", _monitor(MONITOR))


def portal() -> None:
    """It serves its page."""
    _get("https://localhost:8443/m/", _context())


def mail() -> None:
    """It greets, and begins TLS under its name."""
    context = ssl.create_default_context(cafile="/tls/mail/ca.pem")
    with socket.create_connection(("127.0.0.1", 2525), SECONDS) as plain:
        lines = plain.makefile("rwb", 0)
        for said in (b"", b"EHLO health\r\n", b"STARTTLS\r\n"):
            if said:
                lines.write(said)
            while (line := lines.readline())[3:4] == b"-":
                pass
            if line[:1] != b"2":
                raise UnhealthyError("the relay did not answer as a relay does")
        context.wrap_socket(plain, server_hostname="mail").close()


def worker() -> None:
    """It answers a ping through the broker."""
    from celery import Celery

    name = f"celery@{socket.gethostname()}"
    with Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"]) as app:
        app.conf.broker_connection_retry = False
        answers = app.control.inspect(destination=[name], timeout=SECONDS).ping()
    if not answers or name not in answers:
        raise UnhealthyError(f"{name} did not answer within {SECONDS:.0f} s")


CHECKS: dict[str, Callable[[], None]] = {
    "api-server": api_server,
    "scheduler": scheduler,
    "dag-processor": dag_processor,
    "triggerer": triggerer,
    "worker": worker,
    "portal": portal,
    "mail": mail,
}


def main(arguments: list[str]) -> int:
    """Check one service; the process's exit code."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        sys.stderr.write(f"usage: python -m reengage.deploy.health {'|'.join(CHECKS)}\n")
        return 2
    try:
        CHECKS[arguments[0]]()
    except UnhealthyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:  # whatever it is, the service does not answer
        sys.stderr.write(f"no answer ({type(error).__name__})\n")
        return 1
    return 0


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


def _monitor(url: str) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = json.loads(_get(url, _context()))
    return found


def _get(url: str, context: ssl.SSLContext | None) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS, context=context) as answer:  # noqa: S310
        body: bytes = answer.read()
    return body


def _require(component: str, found: dict[str, dict[str, str | None]]) -> None:
    status = found.get(component, {}).get("status")
    if status != "healthy":
        raise UnhealthyError(f"{component} is {status or 'unknown'}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
