"""Server: the portal's process. Its page is on record in the ledger before it answers anybody.

TLS with a certificate of its own, or, with `--behind-proxy`, what stands before it; plain HTTP to
other machines is refused. Nobody but a proxy that is named is believed who a request comes from. A
client that is slow with its headers is hung up on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from sqlalchemy import text
from uvicorn.protocols.http.h11_impl import H11Protocol

from reengage.errors import ConfigurationError
from reengage.ledger.append import append
from reengage.ledger.records import configuration
from reengage.portal.app import create_app
from reengage.portal.desk import Desk, open_desk
from reengage.portal.pages import Pages, load_pages
from reengage.settings import PortalSettings

HEADER_SECONDS = 10.0
IDLE_SECONDS = 5
WIDEST = {4: 8, 6: 32}
"""Shortest prefix of a proxy's network, by version of IP."""
PAGE = "portal/page"
"""Name of the page in the ledger's configuration records."""


@dataclass(frozen=True)
class Address:
    """Where to listen, and by which certificate."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()
    """Addresses or networks of the servers before it, whose `X-Forwarded-For` is believed."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a proxy that is none, or nearly everybody."""
        for one in self.proxies:
            _require_proxy(one)

    def require_private(self) -> None:
        """Refuse to show letters and answers to the network. Raises ConfigurationError."""
        if self.certificate or self.proxies or _is_this_machine(self.host):
            return
        raise ConfigurationError(
            f"the portal would listen on {self.host} without TLS; give it --certificate and --key,"
            " or name the server before it that speaks TLS to patients: --behind-proxy ADDRESS"
        )


def serve(settings: PortalSettings, address: Address) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ConfigurationError, KeyringError or LedgerError: the page cannot be put on record.
    """
    address.require_private()
    desk = open_desk(settings)
    pages = load_pages(desk)
    record_page(desk, pages)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("reengage.portal").setLevel(logging.INFO)
    uvicorn.Server(
        uvicorn.Config(
            create_app(desk, pages),
            host=address.host,
            port=address.port,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            access_log=False,  # it would hold tokens; guard.py writes ours
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=10,
            h11_max_incomplete_event_size=16 * 1024,
            backlog=1024,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.key,
            proxy_headers=bool(address.proxies),
            forwarded_allow_ips=list(address.proxies),  # never what the environment says
        )
    ).run()


def record_page(desk: Desk, pages: Pages) -> bool:
    """Put the page that is served into the ledger, where another was before (SEC-16)."""
    with desk.engine.begin() as connection:
        previous = connection.execute(text("SELECT portal_page_recorded()")).scalar_one()
        if previous == pages.digest:
            return False
        said = {"source": "portal"}
        append(connection, desk.keyring, [
            configuration(name=PAGE, sha256=pages.digest, previous=previous, changed_by=said)
        ])  # fmt: skip
    return True


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that waits ten seconds for the head of a request, and no longer."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once there is a whole head; of the next request, wait anew."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._hang_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def _require_proxy(name: str) -> None:
    """An address or a network; of one as wide as `*` anybody could say who they are."""
    try:
        network = ipaddress.ip_network(name)  # 10.0.0.5/8 is none to uvicorn, which believes nobody
    except ValueError:
        network = None
    if network is None or network.prefixlen < WIDEST[network.version]:
        raise ConfigurationError(
            f"--behind-proxy {name}: expected the address of the server that stands before the"
            " portal, or its network (at most a /8, of IPv6 a /32); whoever is believed says from"
            " where a request comes, and by that guesses are counted"
        )


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
