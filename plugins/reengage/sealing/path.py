"""Path validation: from a recipient's certificate to an anchor (RFC 5280 section 6, RFC 8550).

`cryptography`'s verifier does it: signatures (SHA-2 only, RSA from 2048 bits), dates of every
member, path lengths, name constraints on mailboxes, and a refusal of every critical extension that
nobody accounted for. It is made for TLS, so what TLS asks of a leaf is switched off here, and what
S/MIME asks of authorities is put in: they certify, and for mail where they restrict themselves.
The leaf's own usage and address are `certificates.check_own`'s.

Conservative on name constraints: one that is not critical, or that limits a name the verifier does
not compare, refuses the path, and so does any at all above a leaf that names its mailbox in the
subject, which the verifier does not look at.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    VerificationError,
)

from reengage.sealing.trust import Trust

MAX_DEPTH = 4
"""Authorities between a leaf and its anchor. S/MIME hierarchies have one or two."""


def chain_to_anchor(
    leaf: x509.Certificate, trust: Trust, *, at: datetime
) -> list[x509.Certificate] | None:
    """Leaf, authorities, anchor; None where no path is valid at `at`.

    May raise what `cryptography` raises for extensions that do not parse.
    """
    if trust.store is None:
        return None
    verifier = (
        PolicyBuilder()
        .store(trust.store)
        .time(at)
        .max_chain_depth(MAX_DEPTH)
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(leaf, list(trust.intermediates)).chain
    except VerificationError:
        return None
    if not _names_a_mailbox(leaf) and any(_has(member, x509.NameConstraints) for member in chain):
        return None
    return chain


def _certifies(_: Policy, authority: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("not an authority's key usage")


def _for_mail(
    _: Policy, authority: x509.Certificate, purposes: x509.ExtendedKeyUsage | None
) -> None:
    allowed = (ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if purposes is not None and not any(purpose in allowed for purpose in purposes):
        raise ValueError("an authority for other purposes than mail")


def _names_a_mailbox(leaf: x509.Certificate) -> bool:
    """Whether its alternative names do: those the verifier has compared."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return bool(names.get_values_for_type(x509.RFC822Name))


def _has(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    return any(isinstance(extension.value, kind) for extension in certificate.extensions)


_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _certifies)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_mail)
    .may_be_present(x509.NameConstraints, Criticality.CRITICAL, None)
)
