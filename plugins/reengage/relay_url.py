"""The URL of a relay: where it listens, and how TLS begins there. There is no form without TLS."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

from reengage.errors import ConfigurationError

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True)
class RelayUrl:
    """Where a relay listens. `smtp` = STARTTLS is mandatory, `smtps` = TLS from the first octet."""

    scheme: Literal["smtp", "smtps"]
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> RelayUrl:
        """The URL. Raises ConfigurationError for any other form, without quoting it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # its text may quote the password
            raise _malformed("has a malformed host or port") from None
        scheme: Literal["smtp", "smtps"] = "smtps" if parts.scheme == "smtps" else "smtp"
        if parts.scheme != scheme:
            raise _malformed("begins with neither smtp:// nor smtps://")
        if not (_HOST.fullmatch(host) or _is_ip(host)) or port == 0:
            raise _malformed("names no host, or one that is malformed")
        if parts.query or parts.fragment or parts.path not in ("", "/") or "?" in url or "#" in url:
            raise _malformed("carries a path or options, and there is none that could weaken TLS")
        if bool(parts.username) != bool(parts.password):
            raise _malformed("gives a user or a password without the other")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(scheme, host, port or (465 if scheme == "smtps" else 587), user, password)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _malformed(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"a relay URL {what};"
        " write smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465"
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
