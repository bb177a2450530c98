"""Webhook: an alert as one POST of `{"text": …}`, which Slack, Mattermost, Rocket.Chat and Google
Chat take as it is, and anything else can.

The address is the secret; it is in no log and in no error. HTTPS only, http on this machine for
tests of one's own; no redirect is followed.
"""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

import httpx

from reengage.alerts.alert import Alert
from reengage.errors import ConfigurationError
from reengage.settings import PREFIX, Settings

SETTING = f"{PREFIX}ALERT_WEBHOOKS"
SECONDS = 10


def addresses(settings: Settings) -> tuple[str, ...]:
    """Where alerts are posted to. Raises ConfigurationError naming the setting, not its value."""
    if not all(map(_is_safe, settings.alert_webhooks)):
        raise ConfigurationError(
            f"setting {SETTING} holds what is no https address; write them with a space between"
            " two (http on this machine only)"
        )
    return settings.alert_webhooks


def post(address: str, alert: Alert) -> None:
    """Tell it. Raises ConfigurationError where nobody took it; the text names no address."""
    for talkative in ("httpx", "httpcore"):  # they log the address, which is the secret
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        answer = httpx.post(
            address, json={"text": alert.text}, timeout=SECONDS, follow_redirects=False
        )
    except httpx.HTTPError as error:
        raise ConfigurationError(
            f"a webhook of {SETTING} did not answer ({type(error).__name__})"
        ) from None
    if not answer.is_success:
        raise ConfigurationError(f"a webhook of {SETTING} answered {answer.status_code}; renew it")


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))
    )


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
