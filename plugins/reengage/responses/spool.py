"""Spool: events that vendors sent to a webhook, one signed JSON file each (docs/responses.md).

Whoever receives the vendor's HTTP request writes its three `webhook-` headers and its body to a
file and answers; nothing else is asked of them. The signature is that of Standard Webhooks: HMAC
with SHA-256 over `id.timestamp.body` under the vendor's secret, compared in constant time. An
event counts once (its id is remembered for good), not before it was signed, and for a week; and
only for letters that the vendor carried. A file that does not hold is put aside, never tried again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reengage.errors import ConfigurationError, StoreError
from reengage.responses.diagnosis import STATUS, diagnose
from reengage.responses.maildir import read_file
from reengage.responses.notice import Action, Report
from reengage.responses.recognise import Names, Recognised
from reengage.return_path import ENVID

OCTETS = 64 * 1024
OLDEST = timedelta(days=7)
SKEW = timedelta(minutes=5)
REFUSED = "refused"
"""Directory of the spool for files that do not hold."""
SHORTEST_SECRET = 24

_TYPES: Mapping[str, Action] = {
    "failed": "failed", "delayed": "delayed", "delivered": "delivered", "relayed": "relayed",
}  # fmt: skip
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{8,200}")  # no full stop: it ends the id in what is signed
_NAME = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Event:
    """A file of the spool: an event whose signature holds, or None."""

    vendor: str
    event_id: str
    found: Recognised | None
    _path: Path = field(repr=False)

    def remove(self) -> None:
        """It is dealt with."""
        _changing(lambda: self._path.unlink(missing_ok=True))

    def put_aside(self) -> None:
        """It does not hold: for somebody to look at."""

        def move() -> None:
            (self._path.parent / REFUSED).mkdir(exist_ok=True, mode=0o700)
            self._path.rename(self._path.parent / REFUSED / self._path.name)

        _changing(move)


def events(directory: Path, secrets: Mapping[str, str], now: datetime) -> Iterator[Event]:
    """Every file, by name. Raises ConfigurationError for a spool or a secret that is none."""
    if not directory.is_dir():
        raise ConfigurationError(
            "setting REENGAGE_RETURNS_SPOOL names no directory; make it or leave the setting out"
        )
    keys = {vendor: _key(vendor, secret) for vendor, secret in secrets.items()}
    for path in sorted(directory.glob("*.json")):
        content = read_file(path, OCTETS + 1)
        if content is None:
            continue
        yield _event(path, content, keys, now)


def signature(secret: str, event_id: str, timestamp: int, body: str) -> str:
    """What a vendor writes as `webhook-signature`."""
    signed = f"{event_id}.{timestamp}.{body}".encode()
    mac = hmac.digest(_key("", secret), signed, "sha256")
    return f"v1,{base64.b64encode(mac).decode()}"


def _key(vendor: str, secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or len(key) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"setting REENGAGE_WEBHOOK_SECRET_{vendor.upper()} is no secret of a webhook; write"
            f" whsec_ and at least {SHORTEST_SECRET} octets in base64, as the vendor shows it"
        )
    return key


def _event(path: Path, content: bytes, keys: Mapping[str, bytes], now: datetime) -> Event:
    refused = Event("", "", None, path)
    try:
        said: Any = json.loads(content) if len(content) <= OCTETS else None
        vendor, event_id = str(said["vendor"]), str(said["id"])
        timestamp, body = said["timestamp"], said["body"]
        key = keys.get(vendor)
        if key is None or type(timestamp) is not int or not isinstance(body, str):
            return refused
        if not (_NAME.fullmatch(vendor) and _ID.fullmatch(event_id)):
            return refused
        _require_signed(key, f"{event_id}.{timestamp}.{body}".encode(), str(said["signature"]))
        at = datetime.fromtimestamp(timestamp, UTC)
        if not now - OLDEST <= at <= now + SKEW:
            return refused
        found = _recognised(json.loads(body))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        OSError,
    ):
        return refused
    return Event(vendor, event_id, found, path)


def _require_signed(key: bytes, signed: bytes, signatures: str) -> None:
    """One of several suffices, as while a secret is rotated. Raises ValueError."""
    mac = base64.b64encode(hmac.digest(key, signed, "sha256"))
    given = [one.encode() for one in signatures.split(" ")[:10] if one.startswith("v1,")]
    if sum(hmac.compare_digest(b"v1," + mac, one) for one in given) == 0:
        raise ValueError("no signature holds")


def _recognised(body: Mapping[str, Any]) -> Recognised | None:
    """The event's body; None for a type that says nothing here."""
    letter = body["letter"]
    names = Names(
        tuple(one for one in [str(letter.get("envid", "")).lower()] if ENVID.fullmatch(one)),
        tuple(one for one in [str(letter.get("message_id", ""))] if one.startswith("<")),
    )
    if body["type"] == "complained":
        return Recognised("complaint", names, feedback=str(body.get("feedback", "abuse"))[:40])
    action = _TYPES.get(body["type"])
    if action is None:
        return None
    status = STATUS.fullmatch(str(body.get("status", "")))
    diagnosis = diagnose(str(body.get("diagnostic", "")), status[0] if status else "")
    addresses = (str(body["recipient"]),) if body.get("recipient") else ()
    return Recognised("bounce", names, (Report(action, diagnosis, addresses),))


def _changing(change: Any) -> None:
    try:
        change()
    except OSError as error:
        raise StoreError(
            f"an event of the spool cannot be moved away ({error.strerror}); give the spool to the"
            " user that runs this"
        ) from None
