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
    `time_zone` is the patient's, whose clock opens the send window; "" = sealed before it was kept.
    """

    patient_key: str
    recipient: str
    language: str
    declared: Mapping[str, str]
    message: bytes
    way: Way
    certificate: str | None = None
    """Digest of the certificate that it is sealed for."""
    content_key: bytes | None = field(default=None, repr=False)
    """Opens the message as its recipient's mail client will: the finished bytes are checked."""
    deposit: tuple[str, bytes] | None = field(default=None, repr=False)
    """Message id and ciphertext that it leaves at the portal."""
    appointment_key: str | None = None
    medication_key: str | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = ""

    def to_bytes(self) -> bytes:
        """The content to seal."""
        head: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        head["way"] = [self.way.mode, self.way.basis]
        head["content_key"] = _text(self.content_key)
        head["deposit"] = self.deposit and [self.deposit[0], _text(self.deposit[1])]
        return json.dumps(head).encode() + b"\n" + self.message

    @classmethod
    def from_bytes(cls, content: bytes) -> Addressed:
        """The letter that `to_bytes` wrote."""
        line, _, message = content.partition(b"\n")
        head = json.loads(line)
        way, deposit, content_key = (head.pop(name) for name in ("way", "deposit", "content_key"))
        return cls(
            **head,
            message=message,
            way=Way(*way),
            content_key=_octets(content_key),
            deposit=deposit and (deposit[0], b64decode(deposit[1])),
        )


_PLAIN = (
    "patient_key", "recipient", "language", "declared", "certificate", "appointment_key",
    "medication_key", "says", "time_zone",
)  # fmt: skip


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else b64encode(octets).decode("ascii")


def _octets(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
