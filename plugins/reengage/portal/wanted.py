"""Wanted: how a patient wants to be written to, said on the page and written down at once.

Who has a letter's link may have less: no more of a campaign, of a purpose, of anything; an
authorization revoked, its use restricted; another language. Where letters go is for who also knows
the second factor, and for an address whose mail its owner reads (ADR 0029). Each word is a row that
wins over the warehouse, a line of the journal and a record of the ledger, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, text

from reengage.opt_outs import find_link, tell
from reengage.pipeline.wishes import seal_address
from reengage.portal import problems
from reengage.portal.desk import Desk, new_token, token_digest
from reengage.portal.pace import count_today, keep_pace, keep_pace_of
from reengage.portal.pickup import Session, require_session
from reengage.practice import is_address
from reengage.refusals import Kind, purpose_scope

LANGUAGES = ("en", "es")
PURPOSES = ("treatment", "own_service", "education", "marketing")
AUTHORIZATIONS = ("email", "marketing", "part2")
ADDRESSES_A_DAY = 3
CONFIRM_DAYS = 3
"""For which the message to a new address can be answered."""
STOPS = ("opt_out", "restriction")
"""Kinds of which a second saying adds nothing: they are never too many (EML-26)."""
Channel = Literal["portal", "one_click"]
Said = list[tuple[Kind, str | None]]


@dataclass(frozen=True)
class Wanted:
    """What a patient said; what is absent stays as it is."""

    stop_all: bool = False
    stop_campaigns: Sequence[str] = ()
    stop_purposes: Sequence[str] = ()
    revoke: Sequence[str] = ()
    restrict: bool = False
    language: str | None = None
    address_on_file: bool = False
    """No other address any more."""

    def said(self, desk: Desk) -> Said:
        """As what is written down. Raises PortalProblemError for a word that is none of ours."""
        known = {one.slug for one in desk.campaigns}
        if (
            not set(self.stop_campaigns) <= known
            or not set(self.stop_purposes) <= set(PURPOSES)
            or not set(self.revoke) <= set(AUTHORIZATIONS)
            or self.language not in (None, *LANGUAGES)
        ):
            raise problems.unusable()
        found: Said = [("opt_out", None)] if self.stop_all else []
        found += [("opt_out", slug) for slug in dict.fromkeys(self.stop_campaigns)]
        found += [("opt_out", purpose_scope(one)) for one in dict.fromkeys(self.stop_purposes)]
        found += [("revocation", one) for one in dict.fromkeys(self.revoke)]
        found += [("restriction", None)] if self.restrict else []
        found += [("language", self.language)] if self.language else []
        found += [("address", None)] if self.address_on_file else []
        return found


def by_session(
    desk: Desk, message_id: str, token: str, wanted: Wanted, peer: str
) -> dict[str, Any]:
    """Write it down for the session's patient; gives how things stand.

    Raises PortalProblemError; of one that asked too often, what stops letters is written down.
    """
    said = wanted.said(desk)
    keep_pace(desk, peer)
    with desk.engine.connect() as connection:
        session = require_session(desk, connection, message_id, token)
    if wanted.address_on_file and session.moved:
        raise problems.unusable("unavailable")
    _tell_stops_first(desk, session.patient, said, "portal", by=message_id)
    return standing(desk, message_id, token)


def by_link(
    desk: Desk, token: str, wanted: Wanted, *, this_kind: bool, channel: Channel, peer: str
) -> bool:
    """The same for whom a letter's opt-out link speaks for; `this_kind` = its own campaign.

    Gives whether the link is one of ours. Raises PortalProblemError for where letters go, and for
    one that asked too often; what stops letters is written down then, too. One click is not counted
    by its address of the network: a provider's servers click for all of its readers.
    """
    if wanted.address_on_file:
        raise problems.unusable()
    said = wanted.said(desk)
    if channel != "one_click":
        keep_pace(desk, peer)
    with desk.engine.connect() as connection:
        link = find_link(connection, token, desk.settings.now())
    if link is None:
        return False
    if this_kind:
        said.insert(0, ("opt_out", link.campaign))
    _tell_stops_first(desk, link.patient, said, channel, by=token)
    return True


def standing(desk: Desk, message_id: str, token: str) -> dict[str, Any]:
    """How a session's patient is written to by now. Raises PortalProblemError."""
    with desk.engine.begin() as connection:
        session = require_session(desk, connection, message_id, token)
        return _standing(desk, connection, session)


def ask_address(desk: Desk, message_id: str, token: str, address: str, peer: str) -> None:
    """Ask who reads the mail of `address` to confirm it; until then nothing changes.

    Raises PortalProblemError. Whether the address was asked before is not told.
    """
    address = address.strip()
    if not desk.offers_another_address:
        raise problems.unusable("unavailable")
    if not is_address(address):
        raise problems.unusable("address")
    secret, digest = new_token()
    keep_pace(desk, peer)
    with desk.engine.begin() as connection:
        session = require_session(desk, connection, message_id, token)
        if session.moved:
            raise problems.unusable("unavailable")
        named = {
            "patient": session.patient,
            "recipient": desk.keyring.pseudonym("recipient", address.casefold()),
        }
        if not _may_ask(desk, connection, named):
            return
        connection.execute(text(desk.sql("ask_address")), {
            **named, "instead_of": _on_file(desk, connection, session), "token": digest,
            "sealed": seal_address(desk.keyring, session.patient, address),
            "language": session.language,
        })  # fmt: skip
        queue(desk, connection, "confirm_address", {
            "to": address, "language": session.language, "token": secret,
        })  # fmt: skip


def _may_ask(desk: Desk, connection: Connection, named: Mapping[str, str]) -> bool:
    """Whether a message is due to this address. Whatever was named before and not confirmed cannot
    be any more, also where it is not: it may have been mistyped, and be a stranger's.
    """
    connection.execute(text(desk.sql("alone")), {"patient": named["patient"]})
    connection.execute(text(desk.sql("withdraw_addresses")), named)
    if connection.execute(text(desk.sql("asked_just_now")), named).scalar_one():
        return False
    return count_today(desk, connection, "asked", named["patient"]) <= ADDRESSES_A_DAY


def confirm_address(desk: Desk, token: str, peer: str) -> bool:
    """Who reads the mail of an address says that it is theirs; gives whether the link was good.

    Raises PortalProblemError: too many from that address of the network.
    """
    keep_pace(desk, peer)
    with desk.engine.begin() as connection:
        row = connection.execute(
            text(desk.sql("confirm_address")), {"token": token_digest(token)}
        ).one_or_none()
        if row is None:
            return False
        scope = f"{row.instead_of}:{row.recipient}"
        _tell(desk, connection, row.patient, [("address", scope)], "portal")
    return True


def queue(desk: Desk, connection: Connection, kind: str, content: Mapping[str, str]) -> None:
    """Leave a message for the keeper to send; it holds nothing but an address and a link."""
    sealed = desk.keyring.purpose_key("portal").seal(
        json.dumps(content).encode(), bound_to=f"mail/{kind}"
    )
    connection.execute(
        text("INSERT INTO portal_mail (kind, sealed) VALUES (:kind, :sealed)"),
        {"kind": kind, "sealed": sealed},
    )


def _tell_stops_first(desk: Desk, patient: str, said: Said, channel: Channel, *, by: str) -> None:
    """Write down what stops letters, then the rest, which is counted by the letter it comes by.

    Raises PortalProblemError where that was too often: nobody who used the day up, the patient or
    whoever has the link, keeps an opt-out from holding.
    """
    stops = [one for one in said if one[0] in STOPS]
    if stops:
        with desk.engine.begin() as connection:
            _tell(desk, connection, patient, stops, channel)
    if rest := [one for one in said if one[0] not in STOPS]:
        keep_pace_of(desk, by)
        with desk.engine.begin() as connection:
            _tell(desk, connection, patient, rest, channel)


def _tell(desk: Desk, connection: Connection, patient: str, said: Said, channel: Channel) -> None:
    tell(connection, desk.keyring, desk.settings.journal, patient, said, channel=channel)


def _on_file(desk: Desk, connection: Connection, session: Session) -> str:
    """Pseudonym of the address that the practice has: the letter's, or what that was instead of."""
    wish = (
        connection.execute(text(desk.sql("preferences")), {"patient": session.patient})
        .one()
        .address
    )
    if wish and wish.partition(":")[2] == session.recipient:
        return str(wish.partition(":")[0])
    if session.recipient is None:
        raise problems.unusable("unavailable")
    return session.recipient


def _standing(desk: Desk, connection: Connection, session: Session) -> dict[str, Any]:
    row = connection.execute(text(desk.sql("preferences")), {"patient": session.patient}).one()
    return {
        "stopped": list(row.stopped),
        "revoked": list(row.revoked),
        "restricted": row.restricted,
        "language": row.language or session.language,
        # Who reads an older mailbox learns nothing of the newer, and moves nothing back (PRV-21).
        "another_address": row.address is not None and not session.moved,
        "confirming": row.confirming and not session.moved,
        "offers_another_address": desk.offers_another_address and not session.moved,
    }
