"""Way: how one letter is sealed, decided from what its recipient, the vendor and the relay can do.

One pure function, the strongest way that the recipient can open first (PRV-24, EML-17, EML-23):

    certificate on file   its state                   way
    none                  -                           TLS guaranteed to the recipient, else portal
    yes                   sound, client reads AEAD    S/MIME, where the practice can sign
    yes                   anything else               portal

Whoever has a certificate on file is written to end to end or not at all: one that expired or was
revoked never turns their letters back into ordinary mail unseen. Cleartext is no value of any type
here. Where no way is left the answer is the reason, which excludes the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["smime", "tls", "portal"]
Basis = Literal["certificate", "requiretls", "contract", "link"]
"""What a way rests on: the recipient's certificate, the relay's REQUIRETLS (RFC 8689), the vendor's
contract, the key in the link."""


@dataclass(frozen=True)
class Recipient:
    """What is known of how a recipient can read."""

    has_certificate: bool = False
    fault: str | None = None
    """Why the certificate may not be used, a reason code; None = it may, or there is none."""
    reads_authenticated: bool = False
    """Their mail client is recorded as able to read AuthEnvelopedData (RFC 5083)."""


@dataclass(frozen=True)
class Means:
    """What the practice, its vendor and the relay can do today."""

    signs: bool
    """The practice has an S/MIME identity in force."""
    by_contract: bool
    """The vendor's contract enforces TLS up to every recipient's server (EML-17)."""
    requires_tls: bool
    """The vendor's entry says that REQUIRETLS is enforced, and the relay offers it (EML-19)."""
    portal: bool
    """There is a portal to leave the letter at."""


@dataclass(frozen=True)
class Way:
    """How a letter is sealed, and what that rests on."""

    mode: Mode
    basis: Basis


@dataclass(frozen=True)
class NoWay:
    """No safe way; `reason` is a code of reasons.py."""

    reason: str


def choose(recipient: Recipient, means: Means) -> Way | NoWay:
    """The strongest way that the recipient can open; total, and never a weaker one in its stead."""
    against = obstacle(recipient, means)
    if recipient.has_certificate and against is None:
        return Way("smime", "certificate")
    if not recipient.has_certificate:
        if means.requires_tls:
            return Way("tls", "requiretls")
        if means.by_contract:
            return Way("tls", "contract")
    return Way("portal", "link") if means.portal else NoWay(against or "no_safe_way")


def still_holds(way: Way, means: Means) -> bool:
    """Whether what a letter's way rests on is still there."""
    return {
        "certificate": True,  # asked of the certificate itself, at the same moment
        "requiretls": means.requires_tls,
        "contract": means.by_contract,
        "link": means.portal,
    }[way.basis]


def obstacle(recipient: Recipient, means: Means) -> str | None:
    """What stands against S/MIME for who has a certificate, a code of reasons.py."""
    if not recipient.has_certificate:
        return None
    if recipient.fault:
        return recipient.fault
    if not recipient.reads_authenticated:
        return "certificate_client_unknown"
    return None if means.signs else "no_signing_certificate"
