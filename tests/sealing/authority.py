"""A certification authority for tests: certificates, revocation lists and answers, sound or not.

Keys are made once per process: an RSA key takes a tenth of a second, and which one it is matters
to no test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from reengage.sealing.trust import Trust, load_trust

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PATIENT = "Given.Family@example.org"
PRACTICE = "letters@prairie.example.org"
KINDS = ("rsa-2048", "rsa-4096", "p-256", "p-384")
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def key(kind: str = "p-256", which: str = "") -> Any:
    """A private key; the same for the same words."""
    return _key(kind, which)


@lru_cache(maxsize=64)
def _key(kind: str, _which: str) -> Any:
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[4:]))
    curves = {"p-256": ec.SECP256R1, "p-384": ec.SECP384R1, "p-521": ec.SECP521R1}
    return ec.generate_private_key(curves[kind]())


def pem(thing: Any) -> str:
    """A certificate or private key as PEM."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM).decode("ascii")
    octets: bytes = thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return octets.decode("ascii")


def usage(**granted: bool) -> x509.KeyUsage:
    """A key usage that grants what is named."""
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: granted.get(name, False) for name in names})


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


MAIL: Extensions = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),)


def for_mailbox(address: str = PATIENT) -> Extensions:
    return ((x509.SubjectAlternativeName([x509.RFC822Name(address)]), False),)


def for_key(private: Any) -> Extensions:
    """Usage for encrypting to, and signing with, a key."""
    encrypts = "key_encipherment" if isinstance(private, rsa.RSAPrivateKey) else "key_agreement"
    return ((usage(digital_signature=True, **{encrypts: True}), True),)


@dataclass(frozen=True)
class Authority:
    """Certifies, and says what it took back."""

    certificate: x509.Certificate
    private: Any

    def certify(
        self,
        private: Any = None,
        extensions: Extensions | None = None,
        *,
        subject: x509.Name | None = None,
        starts: datetime = NOW - timedelta(days=30),
        ends: datetime = NOW + timedelta(days=300),
        serial: int | None = None,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> x509.Certificate:
        """A certificate; without other words one that encrypts mail to the patient."""
        private = private or key()
        if extensions is None:
            extensions = (*for_key(private), *MAIL, *for_mailbox())
        return _certificate(
            self.certificate.subject, self.private, private, extensions,
            subject=subject or name("a patient"), starts=starts, ends=ends, serial=serial,
            algorithm=algorithm,
        )  # fmt: skip

    def below(self, text: str = "below", extensions: Extensions = (), **other: Any) -> Authority:
        """An authority that this one certifies."""
        private = key("p-256", text)
        ca = (*_authority_extensions(other.pop("path_length", None)), *extensions)
        return Authority(self.certify(private, ca, subject=name(text), **other), private)

    def crl(
        self,
        *revoked: int,
        issued: datetime = NOW - timedelta(days=1),
        until: datetime | None = NOW + timedelta(days=6),
        extensions: Extensions = (),
    ) -> bytes:
        """A revocation list in DER."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(issued).next_update(until or issued)
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued)
            builder = builder.add_revoked_certificate(entry.build())
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        crl = builder.sign(self.private, hashes.SHA256())
        return crl.public_bytes(serialization.Encoding.DER)

    def answer(
        self,
        about: x509.Certificate,
        *,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        issued: datetime = NOW - timedelta(days=1),
        until: datetime | None = NOW + timedelta(days=6),
        responder: Authority | None = None,
    ) -> bytes:
        """An OCSP answer in DER, by itself or by a responder."""
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        signer = responder or self
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=about,
            issuer=self.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=issued,
            next_update=until,
            revocation_time=issued if revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, signer.certificate)
        if responder:
            builder = builder.certificates([responder.certificate])
        response = builder.sign(signer.private, hashes.SHA256())
        return response.public_bytes(serialization.Encoding.DER)


def _authority_extensions(path_length: int | None) -> Extensions:
    return (
        (x509.BasicConstraints(True, path_length), True),
        (usage(key_cert_sign=True, crl_sign=True), True),
    )


def _certificate(
    issuer: x509.Name, by: Any, private: Any, extensions: Extensions, *, subject: x509.Name,
    starts: datetime, ends: datetime, serial: int | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(by, algorithm or hashes.SHA256())


def root(text: str = "root", kind: str = "p-256", **other: Any) -> Authority:
    """An authority that certifies itself."""
    private = key(kind, text)
    extensions = _authority_extensions(other.pop("path_length", None))
    dates = {"starts": NOW - timedelta(days=900), "ends": NOW + timedelta(days=900), **other}
    return Authority(
        _certificate(name(text), private, private, extensions, subject=name(text), **dates), private
    )


def store(directory: Path, **files: bytes | str) -> Path:
    """A trust directory; `crl__a_crl` names crl/a.crl."""
    for where, content in files.items():
        folder, _, file = where.partition("__")
        path = directory / folder / ".".join(file.rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def trusting(directory: Path, anchor: Authority, *revoked: int, **files: bytes | str) -> Trust:
    """Trust in one anchor, with a list of its revoked certificates and more files."""
    given: dict[str, bytes | str] = {
        "anchors__root_pem": pem(anchor.certificate), "crl__root_crl": anchor.crl(*revoked)
    }  # fmt: skip
    return load_trust(store(directory, **{**given, **files}))
