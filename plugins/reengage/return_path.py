"""Return path and ENVID: the names in a letter's envelope, by which what comes back names it.

    return path (VERP)  b-<id>-<tag>@<the bounce domain>
    ENVID (RFC 3461)    <id>-<tag>, each its own: neither can be made of the other

    id: the letter's, 32 hex digits; tag: 16 that only the keyring can make

A return path needs nothing of the servers on the way but that they send a bounce to whom it
belongs. The letter's id stands in the ledger and in lists that staff see; the tag is what makes the
name one that nobody gives who has not had the letter. Nothing in it speaks of a patient (TRK-05).
"""

from __future__ import annotations

import hmac
import re
from uuid import UUID

from reengage.keys import Keyring
from reengage.practice import Practice

ENVID = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")
"""An ENVID as we write it; a server may return it in capitals."""
_LOCAL = re.compile(r"b-([0-9a-f]{32})-([0-9a-f]{16})")


def return_path(practice: Practice, keyring: Keyring, letter_id: UUID) -> str:
    """Where a bounce of the letter goes; the From address where there is no bounce domain."""
    returns = practice.returns
    if returns.bounce_domain is None:
        return practice.from_address
    return f"b-{letter_id.hex}-{_tag(keyring, 'return-path', letter_id)}@{returns.bounce_domain}"


def letter_of(keyring: Keyring, local_part: str) -> UUID | None:
    """The letter that a local part names; None for any that was not made here."""
    return _checked(keyring, "return-path", _LOCAL.fullmatch(local_part.lower()))


def envid_of(keyring: Keyring, letter_id: UUID) -> str:
    """What the relay's notices call the letter."""
    return f"{letter_id.hex}-{_tag(keyring, 'envid', letter_id)}"


def letter_of_envid(keyring: Keyring, envid: str) -> UUID | None:
    """The letter that an ENVID names; None for any that was not made here."""
    return _checked(keyring, "envid", ENVID.fullmatch(envid.lower()))


def _checked(keyring: Keyring, label: str, found: re.Match[str] | None) -> UUID | None:
    if found is None:
        return None
    letter_id = UUID(found[1])
    return letter_id if hmac.compare_digest(_tag(keyring, label, letter_id), found[2]) else None


def _tag(keyring: Keyring, label: str, letter_id: UUID) -> str:
    return keyring.pseudonym(label, letter_id.hex)[:16]
