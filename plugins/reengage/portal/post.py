"""Post: the portal's own messages are sent, in an order in which none can hold the others up.

What the practice has to know goes first, then what was tried least. A message has one try for each
time that it is taken up, and waits after one that was put off, twice as long each time. One whose
try ended without a word, since the process died, is tried again: a message twice is a nuisance, an
incident that nobody hears of is a letter that stays locked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text

from reengage import relay
from reengage.errors import ConfigurationError, KeyringError, LetterError
from reengage.keys import Keyring
from reengage.portal.mail import Service, service_message
from reengage.practice import Practice
from reengage.settings import Settings
from reengage.sql import load_sql
from reengage.vendors import Vendor, load_vendors, require_in_force, require_vendor

LOST_SECONDS = 600
"""After which a try whose end nobody wrote down counts as none."""
TRY_SECONDS = {"incident": 7 * 86_400, "confirm_address": 86_400}
"""For how long a message is tried again that was put off."""
_WAITING = "SELECT count(*) FROM portal_mail WHERE claimed_at IS NULL OR outcome IS NULL"


@dataclass(frozen=True)
class Posted:
    """Messages that were taken, and those that will reach nobody: refused, unreadable, too old."""

    sent: int = 0
    lost: int = 0


@dataclass
class _Post:
    engine: Engine = field(repr=False)
    keyring: Keyring = field(repr=False)
    settings: Settings = field(repr=False)
    service: Service
    outcomes: list[str] = field(default_factory=list)

    def sql(self, name: str) -> str:
        return load_sql(self.settings.home, f"portal/{name}.sql")

    def offer_all(self, line: relay.RelayConnection) -> None:
        """One try for each, until none is due or the relay hangs up."""
        while line.alive and self._offer_next(line):
            pass

    def _offer_next(self, line: relay.RelayConnection) -> bool:
        with self.engine.begin() as connection:
            row = connection.execute(
                text(self.sql("next_mail")), {"lost": LOST_SECONDS}
            ).one_or_none()
        if row is None:
            return False
        try:
            opened = self.keyring.purpose_key("portal").open(
                bytes(row.sealed), bound_to=f"mail/{row.kind}"
            )
            content = json.loads(opened)
            message = service_message(self.service, row.kind, content, row.mail_id)
        except (KeyringError, LetterError):  # its key was destroyed, or it has no address
            self._settle(row.mail_id, row.kind, "refused")
            return True
        outcome = line.send(
            self.service.practice.from_address, content["to"], message,
            envid=row.mail_id.hex, on_attempt=lambda: None,
        )  # fmt: skip
        self._settle(row.mail_id, row.kind, outcome.kind)
        return True

    def _settle(self, mail_id: object, kind: str, outcome: str) -> None:
        with self.engine.begin() as connection:
            again = connection.execute(
                text(self.sql("settle_mail")),
                {"mail_id": mail_id, "outcome": outcome, "most": TRY_SECONDS[kind]},
            ).scalar_one()
        self.outcomes.append("again" if again else outcome)


def send_all(engine: Engine, keyring: Keyring, practice: Practice, settings: Settings) -> Posted:
    """Give every message that is due its try.

    Raises VendorError, RelayError or ConfigurationError where none can be sent.
    """
    vendor_name = practice.portal.vendor if practice.portal else None
    if vendor_name is None or not _is_due(engine):
        return Posted()
    vendor = require_vendor(load_vendors(settings.vendors_path), vendor_name)
    require_in_force(vendor, settings.now().date())
    url = _relay_of(settings, vendor)
    service = Service(practice, keyring.dkim_key(practice.dkim.selector), settings.now())
    post = _Post(engine, keyring, settings, service)
    while _is_due(engine):  # again after a relay that hung up; each time at least one was tried
        tried = len(post.outcomes)
        with relay.open_relay(
            vendor,
            url,
            on=settings.now().date(),
            trust=settings.relay_trust,
            timeout=relay.HURRIED_SECONDS,
        ) as line:
            post.offer_all(line)
        if len(post.outcomes) == tried:
            break
    sent = post.outcomes.count("sent")
    return Posted(sent, len(post.outcomes) - sent - post.outcomes.count("again"))


def waiting(connection: Connection) -> int:
    """Messages that are still to be sent, now or later."""
    found: int = connection.execute(text(_WAITING)).scalar_one()
    return found


def _is_due(engine: Engine) -> bool:
    with engine.connect() as connection:
        due: bool = connection.execute(
            text(
                "SELECT EXISTS (SELECT 1 FROM portal_mail WHERE not_before <= clock_timestamp()"
                " AND (claimed_at IS NULL OR (outcome IS NULL AND claimed_at <"
                " clock_timestamp() - CAST(:lost AS int) * INTERVAL '1 second')))"
            ),
            {"lost": LOST_SECONDS},
        ).scalar_one()
    return due


def _relay_of(settings: Settings, vendor: Vendor) -> relay.RelayUrl:
    configured = settings.relays.get(vendor.name.lower())
    if configured is None:
        raise ConfigurationError(
            f"no relay is configured for the portal's vendor {vendor.name!r};"
            f" set REENGAGE_RELAY_URL_{vendor.name.upper()}"
        )
    return relay.RelayUrl.parse(configured)
