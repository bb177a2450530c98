"""The product's side of a conversation with the hostile relay, with a letter to recognise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from reengage import relay
from reengage.settings import HOME
from reengage.vendors import Vendor, load_vendors

from simulators.smtp import HostileRelay

SENDER = "clinic@example.org"
RECIPIENT = "canary.recipient@example.org"
CANARY = b"canary-4711"
LETTER = b"Message-ID: <1@example.org>\r\nSubject: canary-subject\r\n\r\n" + CANARY + b"\r\n"
CANARIES = (CANARY, b"canary-subject", RECIPIENT.encode())
ENVID = "0f" * 16
TODAY = date(2025, 6, 2)


def embedded() -> Vendor:
    """The sample entry: this machine, at any port."""
    return load_vendors(HOME / "vendors.yaml")["embedded"]


def connect(server: HostileRelay, **options: Any) -> relay.RelayConnection:
    url = relay.RelayUrl.parse(server.url)
    return relay.open_relay(
        embedded(),
        url,
        on=TODAY,
        trust=server.certificates.ca,
        **({"timeout": 10.0} | options),
    )


def send(
    connection: relay.RelayConnection,
    letter: bytes = LETTER,
    *,
    recipient: str = RECIPIENT,
    on_attempt: Callable[[], None] = lambda: None,
    requiretls: bool = False,
) -> relay.Outcome:
    return connection.send(
        SENDER, recipient, letter, envid=ENVID, on_attempt=on_attempt, requiretls=requiretls
    )


def offer(
    server: HostileRelay, letter: bytes = LETTER, *, requiretls: bool = False, **options: float
) -> relay.Outcome:
    """Connect and send one letter, as the product does."""
    with connect(server, **options) as connection:
        return send(connection, letter, requiretls=requiretls)
