"""Mail: an alert as a message to staff, signed with DKIM, offered through the practice's own door.

Plain text, to the addresses of practice.yaml only. It goes by the same way as letters, agreement,
host and verified TLS included (relay.open_relay): there is no second, weaker one.
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from uuid import uuid4

from reengage import relay
from reengage.alerts.alert import Alert
from reengage.errors import ConfigurationError, RelayError
from reengage.keys import open_keyring
from reengage.mail.service import signed
from reengage.practice import Practice
from reengage.settings import Settings
from reengage.vendors import load_vendors, require_vendor


def send(settings: Settings, practice: Practice, alert: Alert) -> int:
    """Mail it to everybody who is to know; gives how many the relay took it for.

    Raises VendorError, RelayError, ConfigurationError. A refusal of one address hinders no other.
    """
    told = practice.alerts
    if not told.email or told.vendor is None:
        return 0
    vendor = require_vendor(load_vendors(settings.vendors_path), told.vendor)
    configured = settings.relays.get(told.vendor.lower())
    if configured is None:
        raise ConfigurationError(
            f"no relay is configured for the alerts' vendor {told.vendor!r};"
            f" set REENGAGE_RELAY_URL_{told.vendor.upper()}"
        )
    key = open_keyring(settings.keyring).dkim_key(practice.dkim.selector)
    url, day = relay.RelayUrl.parse(configured), settings.now().date()
    taken = 0
    with relay.open_relay(
        vendor, url, on=day, trust=settings.relay_trust, timeout=relay.HURRIED_SECONDS
    ) as line:
        for address in told.email:
            ident = uuid4()
            message = signed(
                _message(settings, practice, alert, address, ident.hex),
                practice, key, settings.now(),
            )  # fmt: skip
            outcome = line.send(
                practice.from_address, address, message, envid=ident.hex, on_attempt=lambda: None
            )
            taken += outcome.kind == "sent"
            if not line.alive:
                break
    if not taken:
        raise RelayError("the relay took the alert for nobody; see its log")
    return taken


def _message(
    settings: Settings, practice: Practice, alert: Alert, address: str, ident: str
) -> EmailMessage:
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = Address(practice.from_name, addr_spec=practice.from_address)
    message["To"] = address
    message["Reply-To"] = practice.reply_to
    message["Subject"] = alert.title
    message["Date"] = format_datetime(settings.now())
    message["Message-ID"] = f"<alert.{ident}@{practice.message_id_domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(alert.text, cte="quoted-printable")
    return message
