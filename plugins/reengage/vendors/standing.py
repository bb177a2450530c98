"""Standing: whether a vendor may be used on a day, and how long still.

A check raises VendorError saying what is wrong and what to do; nothing is a warning that ought to
stop a letter. What warns is the end of an agreement that is still in force.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from reengage.errors import VendorError
from reengage.vendors.agreement import CLAUSES, Baa
from reengage.vendors.registry import OwnRelay, Vendor

Level = Literal["notice", "warning", "urgent"]
_LEVELS: tuple[tuple[int, Level], ...] = ((7, "urgent"), (30, "warning"), (60, "notice"))
"""Days left, at most -> how loudly to say it."""


def require_in_force(vendor: Vendor, on: date) -> str:
    """What a letter may rest on that day: the agreement's id, or `own-relay:<name>`.

    Status, tracking, and the agreement (SEC-20 to SEC-23) or the declaration in its place (SEC-24).
    Raises VendorError with the first thing that is wrong.
    """
    _require_status(vendor, on)
    _require_untracked(vendor)
    if vendor.own_relay is not None:
        _require_declared(vendor, vendor.own_relay, on)
    else:
        require_baa(vendor, on)
    return str(vendor.baa_id)


def require_baa(vendor: Vendor, on: date) -> Baa:
    """The agreement in force on that day. Raises VendorError saying what is wrong with it."""
    baa = vendor.baa
    if baa is None:
        raise VendorError(
            f"vendor {vendor.name!r} has no business associate agreement in vendors.yaml;"
            " nothing is sent through it until one is signed and entered"
        )
    if on < baa.signed:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} is in force from {baa.signed} only"
        )
    if on > baa.expires:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} expired on {baa.expires};"
            " renew it and enter the new dates in vendors.yaml"
        )
    missing = [clause for clause in CLAUSES if clause not in baa.clauses]
    if missing:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} lacks the clauses {', '.join(missing)};"
            " have them added and list them in vendors.yaml"
        )
    _require_bound(vendor, baa, on)
    return baa


def require_host(vendor: Vendor, host: str, port: int) -> None:
    """Refuse a host and port that the vendor's entry does not list together. Raises VendorError.

    Case and the root's trailing dot make no other host of it; nothing else is forgiven.
    """
    asked = host.lower().removesuffix(".")
    if not any(one.host == asked and one.port in (None, port) for one in vendor.hosts):
        raise VendorError(
            f"host {host!r} with port {port} is not listed for vendor {vendor.name!r} in"
            f" vendors.yaml; listed: {', '.join(map(str, vendor.hosts))}"
        )


def days_left(baa: Baa, on: date) -> int:
    """Days after this one on which the agreement is in force: 0 on the last, negative later."""
    return (baa.expires - on).days


def level_of(days: int) -> Level | None:
    """How loudly to say that so many days are left; None = not yet."""
    return next((level for most, level in _LEVELS if days <= most), None)


def warning_of(vendor: Vendor, on: date) -> str | None:
    """What a run says about the end of the vendor's agreement; None = it is far away.

    Begins with the level: `notice` at 60 days, `warning` at 30, `urgent` at 7. On the day after the
    last, `require_baa` refuses.
    """
    if vendor.own_relay is not None or vendor.baa is None:
        return None
    days = days_left(vendor.baa, on)
    level = level_of(days)
    if level is None or days < 0:
        return None
    left = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days, on {vendor.baa.expires}")
    return (
        f"{level}: agreement {vendor.baa.id} with {vendor.name!r} ends {left};"
        " renew it, or nothing is sent from the day after"
    )


def _require_status(vendor: Vendor, on: date) -> None:
    status = vendor.status_on(on)
    if status is None:
        raise VendorError(
            f"vendor {vendor.name!r} is not in force on {on};"
            " enter a status in vendors.yaml with the day since which it is"
        )
    if status.state == "suspended":
        raise VendorError(
            f"vendor {vendor.name!r} is suspended since {status.since} ({status.reason}); nothing"
            " is sent until someone enters in_force with `resumed_by` and a reason in vendors.yaml"
        )
    if status.state == "ended":
        raise VendorError(
            f"vendor {vendor.name!r} ended on {status.since} ({status.reason});"
            " name another vendor in the campaign"
        )


def _require_untracked(vendor: Vendor) -> None:
    tracking = vendor.tracking
    if tracking is None or tracking.opens or tracking.clicks:
        raise VendorError(
            f"vendor {vendor.name!r} is not declared to leave letters untracked; have opens and"
            " clicks switched off there, then say so under `tracking` in vendors.yaml"
        )


def _require_declared(vendor: Vendor, own: OwnRelay, on: date) -> None:
    if on < own.declared_on:
        raise VendorError(
            f"relay {vendor.name!r} is declared as the practice's own from {own.declared_on} only"
        )


def _require_bound(vendor: Vendor, baa: Baa, on: date) -> None:
    loose = [
        one.name for one in baa.subcontractors if one.bound_since is None or on < one.bound_since
    ]
    if loose:
        raise VendorError(
            f"vendor {vendor.name!r} gives letters to {', '.join(loose)} without an agreement that"
            f" binds them on {on}; have it signed and enter `bound_since` in vendors.yaml"
        )
