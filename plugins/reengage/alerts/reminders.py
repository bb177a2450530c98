"""Reminders: what ends soon, told before it stops a run: agreements, the practice's certificate,
and the certificates by which the services of an installation know each other.

Once at each level (60, 30 days before the end), then daily from 7 days before it until it is over
or renewed, and daily once it is over (SEC-20).
"""

from __future__ import annotations

from datetime import date, timedelta

from reengage.alerts.alert import Alert
from reengage.authorities import read_authorities
from reengage.campaigns import load_campaigns
from reengage.errors import KeyringError, VendorError
from reengage.keys import open_keyring
from reengage.practice import load_practice
from reengage.sealing.smime import Signer
from reengage.settings import Settings
from reengage.vendors import Vendor, level_of, load_vendors, require_in_force, warning_of


def reminders(settings: Settings) -> list[Alert]:
    """What is to be told today; each only where it was not told yet (tell.py)."""
    today = settings.now().date()
    vendors = load_vendors(settings.vendors_path)
    found = [_of_vendor(vendors[name], today) for name in sorted(_in_use(settings) & set(vendors))]
    return [one for one in (*found, _of_certificate(settings), _of_services(settings)) if one]


def _in_use(settings: Settings) -> set[str]:
    """Vendors that something goes through."""
    practice = load_practice(settings.home / "practice.yaml")
    names = {one.vendor for one in load_campaigns(settings.home)[0]}
    names |= {practice.alerts.vendor or ""} | {
        practice.portal.vendor or "" if practice.portal else ""
    }
    return names - {""}


def _of_vendor(vendor: Vendor, today: date) -> Alert | None:
    try:
        require_in_force(vendor, today)
        said = warning_of(vendor, today)
    except VendorError as error:
        said = f"over: {error}"
    return _alert("agreement", vendor.name, said, today)


def _of_certificate(settings: Settings) -> Alert | None:
    identity = open_keyring(settings.keyring).smime_identity()
    if identity is None:
        return None
    practice, now = load_practice(settings.home / "practice.yaml"), settings.now()
    try:
        signer = Signer.from_pem(*identity, address=practice.from_address, at=now)
    except KeyringError as error:
        return _alert("certificate", "S/MIME", f"over: {error}", now.date())
    days = (signer.identity.certificate.expires - now).days
    level = level_of(days)
    said = level and (
        f"{level}: the practice's S/MIME certificate ends in {days} days; renew it with"
        " `python -m reengage keys rotate smime`"
    )
    return _alert("certificate", "S/MIME", said, now.date())


def _of_services(settings: Settings) -> Alert | None:
    """Of the newest authority: an older one beside it is there until it ends (ADR 0057)."""
    if settings.services_trust is None:
        return None
    now = settings.now()
    days = (read_authorities(settings.services_trust)[0].not_valid_after_utc - now).days
    level = "over" if days < 0 else level_of(days)
    said = level and (
        f"{level}: the certificates that the services show each other end on"
        f" {now.date() + timedelta(days=days)}; renew them before (with docker-compose.yaml:"
        " `make up`, which does in their last 31 days), or no service reaches another"
    )
    return _alert("certificate", "services", said, now.date())


def _alert(kind: str, about: str, said: str | None, today: date) -> Alert | None:
    if not said:
        return None
    level = said.partition(":")[0]
    when = f"/{today}" if level in ("urgent", "over") else ""
    return Alert(kind, f"{about}/{level}{when}", about, said)  # type: ignore[arg-type]
