"""Addresses of other services, as settings name them: which may be asked, and told anything.

Over TLS, but for this machine, and without a secret in the address, which is shown in errors.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_AWS_KMS = re.compile(r"aws-kms:[A-Za-z0-9:/_-]{1,256}")
_TRANSIT = re.compile(r"(/[A-Za-z0-9._-]+){2,}")


def is_key_service(address: str) -> bool:
    """`vault+https://host:8200/<mount>/<key>` or `aws-kms:<key id, ARN or alias/name>` (SEC-25)."""
    if _AWS_KMS.fullmatch(address):
        return True
    parts = _parts(address.removeprefix("vault+"))
    if parts is None or not address.startswith("vault+"):
        return False
    return bool(_is_private(parts) and _TRANSIT.fullmatch(parts.path))


def is_mirror(url: str) -> bool:
    """`https://host…`, the token apart from it."""
    parts = _parts(url)
    return parts is not None and _is_private(parts)


def _parts(url: str) -> SplitResult | None:
    """With a host and a port that is one; None of any other."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return parts if host else None


def _is_private(parts: SplitResult) -> bool:
    """Nobody reads along, and nothing in the address is secret."""
    secure = parts.scheme == "https" or (
        parts.scheme == "http" and _is_this_machine(parts.hostname or "")
    )
    return secure and parts.username is None and not parts.query and not parts.fragment


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
