"""Return path: the envelope sender of each letter, by which what comes back names it (VERP).

    b-<the letter's id, 32 hex digits>-<16 that only the keyring can make>@<the bounce domain>

It needs nothing of the servers on the way but that they send a bounce to whom it belongs. The
letter's id stands in the ledger and in lists that staff see; the tag is what makes the address one
that nobody writes to who has not had the letter. Nothing in it speaks of a patient (TRK-05).
"""

from __future__ import annotations

import hmac
import re
from uuid import UUID

from reengage.keys import Keyring
from reengage.practice import Practice

_LOCAL = re.compile(r"b-([0-9a-f]{32})-([0-9a-f]{16})")


def return_path(practice: Practice, keyring: Keyring, letter_id: UUID) -> str:
    """Where a bounce of the letter goes; the From address where there is no bounce domain."""
    returns = practice.returns
    if returns.bounce_domain is None:
        return practice.from_address
    return f"b-{letter_id.hex}-{_tag(keyring, letter_id)}@{returns.bounce_domain}"


def letter_of(keyring: Keyring, local_part: str) -> UUID | None:
    """The letter that a local part names; None for any that was not made here."""
    found = _LOCAL.fullmatch(local_part.lower())
    if found is None:
        return None
    letter_id = UUID(found[1])
    return letter_id if hmac.compare_digest(_tag(keyring, letter_id), found[2]) else None


def _tag(keyring: Keyring, letter_id: UUID) -> str:
    return keyring.pseudonym("return-path", letter_id.hex)[:16]
