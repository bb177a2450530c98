"""The product's side of a conversation with the hostile relay, with a letter to recognise."""

from __future__ import annotations

from collections.abc import Callable

from reengage import relay

from simulators.smtp import HostileRelay

SENDER = "clinic@example.org"
RECIPIENT = "canary.recipient@example.org"
CANARY = b"canary-4711"
LETTER = b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\n" + CANARY + b"\r\n"
ENVID = "0f" * 16


def connect(server: HostileRelay, **options: float) -> relay.RelayConnection:
    url = relay.RelayUrl.parse(server.url)
    return relay.connect(url, trust=server.certificates.ca, **({"timeout": 10.0} | options))


def send(
    connection: relay.RelayConnection,
    letter: bytes = LETTER,
    *,
    recipient: str = RECIPIENT,
    on_attempt: Callable[[], None] = lambda: None,
) -> relay.Outcome:
    return connection.send(SENDER, recipient, letter, envid=ENVID, on_attempt=on_attempt)


def offer(server: HostileRelay, letter: bytes = LETTER, **options: float) -> relay.Outcome:
    """Connect and send one letter, as the product does."""
    with connect(server, **options) as connection:
        return send(connection, letter)
