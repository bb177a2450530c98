"""The officer's pages: agreements, letters that are unknown, keys."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from fastapi import Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection, text

from reengage import store
from reengage.errors import ConfigurationError, StoreError, VendorError
from reengage.grounds import LONGEST_GROUND, require_ground
from reengage.keys import rotation
from reengage.pipeline import deposits, unknown
from reengage.practice import load_practice
from reengage.reports.asked import Asked
from reengage.reports.problems import BadQueryError, ConflictError
from reengage.reports.render import base_of, page
from reengage.reports.tables import Badge, Tone, table
from reengage.reports.visit import Visit
from reengage.return_path import envid_of
from reengage.vendors import Vendor, load_vendors
from reengage.vendors.standing import days_left, level_of, require_in_force


def agreements(visit: Visit) -> HTMLResponse:
    """Every vendor: its agreement, how long it is in force, and what would stop a letter."""
    visit.record()
    today = visit.settings.now().date()
    found = load_vendors(visit.settings.vendors_path).values()
    return page(
        visit.request, visit.visitor, "agreements.html", "Agreements",
        here="agreements",
        today=today,
        agreements=table(
            "agreements",
            "Vendors and their agreements",
            [
                ("vendor", "Vendor", "text"), ("agreement", "Agreement", "code"),
                ("signed", "Signed", "day"), ("expires", "Last day", "day"),
                ("days", "Days left", "count"), ("standing", "Standing", "badge"),
                ("why", "What would stop a letter", "text"),
            ],
            [_vendor(one, today) for one in found],
        ),
    )  # fmt: skip


def _vendor(vendor: Vendor, today: date) -> list[Any]:
    try:
        require_in_force(vendor, today)
        stops = None
    except VendorError as error:
        stops = str(error)
    baa = vendor.baa
    if vendor.own_relay is not None:
        badge = Badge("own relay", "bad" if stops else "good")
        return [vendor.name, "own relay", vendor.own_relay.declared_on, None, None, badge, stops]
    if baa is None:
        return [vendor.name, None, None, None, None, Badge("none", "bad"), stops]
    days = days_left(baa, today)
    tones: dict[str | None, Tone] = {"notice": "warn", "warning": "warn", "urgent": "bad"}
    level = level_of(days)
    badge = Badge(level or "in force", tones.get(level, "good"))
    if stops:
        badge = Badge("not in force", "bad")
    return [vendor.name, baa.id, baa.signed, baa.expires, max(days, 0), badge, stops]


def unknown_letters(visit: Visit, asked: Asked) -> HTMLResponse:
    """Letters of which nobody knows whether they arrived, with what to do about each."""
    resolved = asked.uuid("resolved")
    with visit.reading() as connection:
        found = unknown.list_unknown(connection)
        if resolved and not _is_resolved(connection, resolved):
            resolved = None  # whoever made the address up says nothing here
    visit.record({"letters": len(found)})
    return page(
        visit.request, visit.visitor, "unknown.html", "Unknown letters",
        here="unknown",
        letters=found,
        envids={one.letter_id: envid_of(visit.keyring, one.letter_id) for one in found},
        resolved=resolved,
        may_decide="decide" in visit.visitor.capabilities,
        longest=LONGEST_GROUND,
    )  # fmt: skip


def _is_resolved(connection: Connection, letter: UUID) -> bool:
    found = connection.execute(
        text(
            "SELECT state <> 'unknown' AND evidence ->> 'resolved' IS NOT NULL FROM letter"
            " WHERE letter_id = :letter"
        ),
        {"letter": letter},
    )
    return found.scalar_one_or_none() is True


def resolve(visit: Visit, letter: UUID, form: Asked) -> Response:
    """Say what became of a letter, with the decision's ground, in one transaction with its record.

    Raises ConflictError for a letter that is not unknown, or not any more.
    """
    verdict = form.one_of("verdict", ("sent", "refused"))
    if verdict is None:
        raise BadQueryError("verdict: choose whether the letter arrived")
    try:
        ground = require_ground(form.text("ground", longest=400) or "", "the ground")
    except ConfigurationError as error:
        raise BadQueryError(str(error)) from None
    said: unknown.Verdict = "sent" if verdict == "sent" else "refused"
    with visit.store.begin() as connection:
        store.require_keyring(connection, visit.keyring)
        try:
            unknown.resolve(connection, visit.keyring, letter, said, f"person: {ground}")
        except StoreError as error:
            raise ConflictError(str(error)) from None
        detail = {"letter": str(letter), "as": said, "ground": f"person: {ground}"}
        visit.note(connection, detail, action="resolved", of=f"unknown/{letter}")
    where = f"{base_of(visit.request)}compliance/unknown?resolved={letter}"
    return RedirectResponse(where, 303)


def keys(visit: Visit) -> HTMLResponse:
    """Every key that there ever was: number, day, state, and how much rests on it; no secret."""
    visit.record()
    keyring = visit.keyring
    with visit.reading() as connection:
        portal = deposits.by_key(connection)
    resting = {"wrap": rotation.resting_on_wrap(keyring), "portal": portal}
    try:
        selector = load_practice(visit.settings.home / "practice.yaml").dkim.selector
    except ConfigurationError:
        selector = None  # whoever looks after keys need not mend the practice's file first
    tones: dict[str, Tone] = {"seals": "good", "signs": "good", "lost": "bad", "waits": "warn"}
    return page(
        visit.request, visit.visitor, "keys.html", "Keys",
        here="keys",
        keys=table(
            "keys",
            "Keys by purpose",
            [
                ("purpose", "Purpose", "text"), ("number", "Number", "count"),
                ("made", "Made", "instant"), ("state", "State", "badge"),
                ("rests", "Rests on it", "count"), ("kept_by", "Kept by", "text"),
            ],
            [
                [one.purpose, one.number, one.made,
                 Badge(one.state, tones.get(one.state, "quiet")), one.rests, one.service]
                for one in rotation.listed(keyring, resting, selector)
            ],
        ),
    )  # fmt: skip
