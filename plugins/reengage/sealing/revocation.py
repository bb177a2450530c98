"""Revocation: what an authority says of its certificates, from files, verified before it counts.

A CRL (RFC 5280 section 5) is signed by the authority itself; an OCSP answer (RFC 6960) by the
authority or by a responder that it certified for nothing else. A statement counts between its
thisUpdate and its nextUpdate, and one without nextUpdate is refused: it would vouch for ever. That
a certificate was revoked counts after nextUpdate, too. Refused because their silence says less than
it seems to: delta and indirect lists, lists for some reasons only, unknown critical extensions.

Every reader here raises one of UNREADABLE with what is wrong; `trust.load_trust` adds the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha1, sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

UNREADABLE = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType, Warning,
)  # fmt: skip
"""All that `cryptography` raises for bytes that are nothing of its kind, or something odd; it warns
of oddities, which is an exception where warnings are."""
SIGNATURE_HASHES = ("sha256", "sha384", "sha512")
_CRL_EXTENSIONS = (x509.AuthorityKeyIdentifier, x509.CRLNumber, x509.IssuingDistributionPoint)


@dataclass(frozen=True)
class Statement:
    """What one CRL or one OCSP answer says, from `issued` to `until`."""

    authority: bytes
    issued: datetime
    until: datetime
    revoked: frozenset[int]
    covers: frozenset[int] | None
    """Serial numbers that it speaks of; None = all of the authority's."""
    only: str | None = None
    """`users` or `authorities`, where a CRL lists certificates of one kind only."""
    points: frozenset[str] | None = None
    """URLs of the distribution point that a CRL is for; None = for all."""


def authority_of(certificate: x509.Certificate) -> bytes:
    """Name and key of an authority: the same for all certificates that it has for them."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(certificate.subject.public_bytes() + spki).digest()


def read_crl(content: bytes, authorities: Sequence[x509.Certificate]) -> Statement:
    """A certificate revocation list in DER or PEM."""
    pem = content.lstrip().startswith(b"-----BEGIN")
    crl = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
    if crl.signature_hash_algorithm is None or (
        crl.signature_hash_algorithm.name not in SIGNATURE_HASHES
    ):
        raise ValueError("its signature's hash is not SHA-256, SHA-384 or SHA-512")
    if crl.next_update_utc is None:
        raise ValueError("it has no nextUpdate")
    _refuse_partial(crl)
    point = _distribution(crl)
    return Statement(
        authority=authority_of(_signer_of(crl, authorities)),
        issued=crl.last_update_utc,
        until=crl.next_update_utc,
        revoked=frozenset(entry.serial_number for entry in crl),
        covers=None,
        only=_only(point),
        points=_urls(point.full_name) if point and point.full_name else None,
    )


def _signer_of(
    crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]
) -> x509.Certificate:
    for authority in authorities:
        key = authority.public_key()
        if (
            authority.subject == crl.issuer
            and _may_sign_lists(authority)
            and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
            and crl.is_signature_valid(key)
        ):
            return authority
    raise ValueError("no authority in anchors/ or intermediates/ signed it")


def _may_sign_lists(authority: x509.Certificate) -> bool:
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _refuse_partial(crl: x509.CertificateRevocationList) -> None:
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            raise ValueError("it is a delta list; store the full one")
        if extension.critical and not isinstance(extension.value, _CRL_EXTENSIONS):
            raise ValueError(f"its critical extension {extension.oid.dotted_string} is unknown")


def _distribution(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    try:
        point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None
    if point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs:
        raise ValueError("it is indirect, or for some reasons or attribute certificates only")
    if point.relative_name:
        raise ValueError("its distribution point is named relatively")
    return point


def _only(point: x509.IssuingDistributionPoint | None) -> str | None:
    if point is None:
        return None
    if point.only_contains_user_certs:
        return "users"
    return "authorities" if point.only_contains_ca_certs else None


def _urls(names: Sequence[x509.GeneralName]) -> frozenset[str]:
    return frozenset(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier))


def read_ocsp(content: bytes, authorities: Sequence[x509.Certificate]) -> tuple[Statement, ...]:
    """The answers of one OCSP response in DER, at least one."""
    response = ocsp.load_der_ocsp_response(content)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise ValueError("it is a responder's error, not an answer")
    if any(extension.critical for extension in response.extensions):
        raise ValueError("it has a critical extension")
    return tuple(_answer(response, single, authorities) for single in response.responses)


def _answer(
    response: ocsp.OCSPResponse,
    single: ocsp.OCSPSingleResponse,
    authorities: Sequence[x509.Certificate],
) -> Statement:
    if single.next_update_utc is None:
        raise ValueError("an answer has no nextUpdate")
    for authority in authorities:
        if not _speaks_of(single, authority):
            continue
        responder = _responder(response, authority)
        if responder is not None:
            serial = frozenset([single.serial_number])
            good = single.certificate_status is ocsp.OCSPCertStatus.GOOD
            revoked = single.certificate_status is ocsp.OCSPCertStatus.REVOKED
            return Statement(
                authority=authority_of(authority),
                issued=max(single.this_update_utc, responder.not_valid_before_utc),
                until=min(single.next_update_utc, responder.not_valid_after_utc),
                revoked=serial if revoked else frozenset(),
                covers=serial if good or revoked else frozenset(),
            )
    raise ValueError(
        "no authority in anchors/ or intermediates/, nor a responder of one, signed it"
    )


def _speaks_of(single: ocsp.OCSPSingleResponse, authority: x509.Certificate) -> bool:
    """Whether name and key hash are the authority's. SHA-1 here only tells authorities apart."""
    digest = {"sha1": sha1, "sha256": sha256}.get(single.hash_algorithm.name)
    key = authority.public_key()
    if digest is None or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    bits = (
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
        if isinstance(key, rsa.RSAPublicKey)
        else key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
    )
    return (single.issuer_name_hash, single.issuer_key_hash) == (
        digest(authority.subject.public_bytes()).digest(),
        digest(bits).digest(),
    )


def _responder(response: ocsp.OCSPResponse, authority: x509.Certificate) -> x509.Certificate | None:
    """Who signed: the authority, or one whom it certified to (RFC 6960 section 4.2.2.2)."""
    delegates = (c for c in response.certificates if _is_delegate(c, authority))
    return next((c for c in (authority, *delegates) if _signed_by(response, c)), None)


def _is_delegate(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Certified by the authority to answer, and exempt from being asked about itself."""
    try:
        certificate.verify_directly_issued_by(authority)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and _strong(certificate)


def _strong(certificate: x509.Certificate) -> bool:
    name = certificate.signature_hash_algorithm
    return name is not None and name.name in SIGNATURE_HASHES


def _signed_by(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    algorithm, key = response.signature_hash_algorithm, certificate.public_key()
    if algorithm is None or algorithm.name not in SIGNATURE_HASHES:
        return False
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            scheme = _rsa_padding(response, algorithm)
            key.verify(response.signature, response.tbs_response_bytes, scheme, algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _rsa_padding(
    response: ocsp.OCSPResponse, algorithm: hashes.HashAlgorithm
) -> padding.PKCS1v15 | padding.PSS:
    if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    return padding.PKCS1v15()
