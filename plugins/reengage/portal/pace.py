"""Pace: how often the portal is asked for what costs something, counted in the store for all.

Per address of the network, a keyed pseudonym that is another each day (PRV-35); and per letter or
patient, whoever asks from wherever. A count is committed whatever becomes of the request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal

from sqlalchemy import Connection, text

from reengage.portal import problems
from reengage.portal.desk import Desk

SECONDS, MOST = 600, 60
"""Requests of one address of the network, in ten minutes: a family behind one router, not a guesser
of birth dates."""
DAY = 86_400
WISHES_A_DAY = 30
"""How often one letter says what is a line each time, kept for ever. Opting out is none of it."""


def keep_pace(desk: Desk, peer: str) -> None:
    """Count a request of `peer`. Raises PortalProblemError: too many for now."""
    with desk.engine.begin() as connection:
        asked = _count(desk, connection, "peer", neighbourhood(peer), SECONDS)
    if asked > MOST:
        raise problems.too_many(SECONDS)


def keep_pace_of(desk: Desk, letter: str) -> None:
    """Count a wish that comes by `letter`, an id or a token. Raises PortalProblemError."""
    with desk.engine.begin() as connection:
        asked = _count(desk, connection, "letter", letter, DAY)
    if asked > WISHES_A_DAY:
        raise problems.enough(DAY)


def count_today(desk: Desk, connection: Connection, of: Literal["asked"], name: str) -> int:
    """Count one more of this day's in the caller's transaction; gives how many that are."""
    return _count(desk, connection, of, name, DAY)


def _count(desk: Desk, connection: Connection, of: str, name: str, seconds: int) -> int:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    counted = desk.keyring.pseudonym(f"{of}/{today}", name)
    found: int = connection.execute(
        text(desk.sql("pace")), {"address": counted, "seconds": seconds}
    ).scalar_one()
    return found


def neighbourhood(peer: str) -> str:
    """The address; of IPv6 the network that a home has."""
    try:
        address = ip_address(peer)
    except ValueError:
        return "none"
    wide = isinstance(address, IPv6Address) and address.ipv4_mapped is None
    return str(ip_network((address, 56), strict=False)) if wide else str(address)
