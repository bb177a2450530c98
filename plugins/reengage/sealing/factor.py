"""Factor: what a patient answers at the portal, and the keyed, slow hash that it is compared by.

The birth date and one more thing that the practice chose, made comparable, go through HMAC under
the keyring's pseudonym key, then scrypt (RFC 7914) with the letter's own random id as its salt.
Who has the database and no keyring can try no answer; who has both pays for each try; and no two
letters have the same hash. The parameters are scrypt's of 16 MiB and some 30 ms a try.

Version byte 0x01, 32 octets.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

VERSION = b"\x01"
OCTETS = 33
LABEL = "portal/factor"
"""Purpose of the keyed hash before the slow one."""
Second = Literal["zip", "patient_number"]
_N, _R, _P = 1 << 14, 8, 1
_ZIP = re.compile(r"([0-9]{5})(?:-?[0-9]{4})?")
_UNSEEN = re.compile(r"[^0-9a-z]")


@dataclass(frozen=True, repr=False)
class Factor:
    """An answer, or what it is compared with; its repr shows nothing."""

    birth_date: date
    second: str


def comparable(kind: Second, said: str) -> str | None:
    """The second part as it is compared: five digits, or letters and digits; None = unusable."""
    if kind == "zip":
        found = _ZIP.fullmatch(said.strip())
        return found[1] if found else None
    return _UNSEEN.sub("", said.casefold()) or None


def verifier(factor: Factor, message_id: str, keyed: Callable[[str, bytes], bytes]) -> bytes:
    """What a right answer for this letter gives. `keyed` is the keyring's `authenticator`."""
    content = f"{factor.birth_date.isoformat()}\x00{factor.second}".encode()
    return VERSION + _slow(keyed(LABEL, content), message_id)


def is_right(given: Factor, message_id: str, known: bytes | None,
             keyed: Callable[[str, bytes], bytes]) -> bool:  # fmt: skip
    """Whether the answer is the letter's. As slow where there is no such letter (`known` None)."""
    found = verifier(given, message_id, keyed)
    return hmac.compare_digest(found, known or bytes(OCTETS)) and known is not None


def _slow(keyed: bytes, message_id: str) -> bytes:
    return Scrypt(salt=message_id.encode(), length=OCTETS - 1, n=_N, r=_R, p=_P).derive(keyed)
