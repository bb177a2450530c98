"""Addressed: a letter as the outbox keeps it, whole and sealed under its run's data key."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reengage.sealing.way import Way


@dataclass(frozen=True)
class Addressed:
    """Whom a letter is for, the finished message, how it is sealed, and what it speaks of.

    The last look asks the warehouse whether that still stands. `says` holds what the letter tells,
    by contract column, as the source had it.
    `time_zone` is the patient's, whose clock opens the send window.
    """

    patient_key: str = field(repr=False)
    recipient: str = field(repr=False)
    language: str
    declared: Mapping[str, str] = field(repr=False)
    message: bytes = field(repr=False)
    way: Way
    certificate: str | None = None
    """Digest of the certificate that it is sealed for."""
    signed_by: bytes | None = field(default=None, repr=False)
    """DER of the practice's certificate under which it is signed."""
    content_key: bytes | None = field(default=None, repr=False)
    """Opens the message as its recipient's mail client will: the finished bytes are checked."""
    deposit: tuple[str, bytes] | None = field(default=None, repr=False)
    """Message id and ciphertext that it leaves at the portal."""
    portal_url: str | None = None
    """The portal that its notice leads to."""
    appointment_key: str | None = field(default=None, repr=False)
    medication_key: str | None = field(default=None, repr=False)
    says: Mapping[str, str] = field(default_factory=dict, repr=False)
    time_zone: str = ""
    variant: str | None = None
    """Of the campaign's template, where it has two."""

    def to_bytes(self) -> bytes:
        """The content to seal."""
        head: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        head["way"] = [self.way.mode, self.way.basis]
        head["content_key"] = _text(self.content_key)
        head["signed_by"] = _text(self.signed_by)
        head["deposit"] = self.deposit and [self.deposit[0], _text(self.deposit[1])]
        return json.dumps(head).encode() + b"\n" + self.message

    @classmethod
    def from_bytes(cls, content: bytes) -> Addressed:
        """The letter that `to_bytes` wrote."""
        line, _, message = content.partition(b"\n")
        head = json.loads(line)
        way, deposit = head.pop("way"), head.pop("deposit")
        content_key, signed_by = head.pop("content_key"), head.pop("signed_by")
        return cls(
            **head,
            message=message,
            way=Way(*way),
            content_key=_octets(content_key),
            signed_by=_octets(signed_by),
            deposit=deposit and (deposit[0], b64decode(deposit[1])),
        )


_PLAIN = (
    "patient_key", "recipient", "language", "declared", "certificate", "portal_url",
    "appointment_key", "medication_key", "says", "time_zone", "variant",
)  # fmt: skip


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else b64encode(octets).decode("ascii")


def _octets(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
