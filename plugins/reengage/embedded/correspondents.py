"""Correspondents: made-up patients who have S/MIME certificates, and who gives them.

So that `make run` shows every state that a certificate can be in. Synthea has neither addresses nor
certificates: both are drawn. An authority of the embedded default's own signs the practice's
certificate and those of an eighth of the patients, sixty at most: of ten, eight are sound, one has
expired and one is of somebody whose mail client is not known to read authenticated encryption.
Their private keys lie beside, to open the letters with (docs/smime.md). Made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Engine, text

from reengage.embedded.certificates import builder, key_usage, write_private
from reengage.errors import KeyringError
from reengage.keys import Keyring, write_new
from reengage.keys.identity import new_smime_key

MOST, ONE_IN = 60, 8
"""How many correspondents there are at most, and of how many patients one is."""
BEGINS, ENDS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
"""The sample plays any day: what is valid is valid on all of them."""
EXPIRED = BEGINS + timedelta(days=1)

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reengage sample authority")])


@dataclass(frozen=True)
class Authority:
    """The sample's authority. `directory` is what REENGAGE_SMIME_TRUST names."""

    directory: Path

    @property
    def patients(self) -> Path:
        """Certificate and private key of each correspondent, by address."""
        return self.directory / "patients"

    def ensure(self) -> None:
        """Make its key, its certificate and an empty list of what it revoked, on first use."""
        for name in ("anchors", "crl", "patients"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._crl_path.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            builder(_NAME, _NAME, key.public_key(), BEGINS, ENDS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(key, hashes.SHA256())
        )
        revoked = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_NAME)
            .last_update(BEGINS)
            .next_update(ENDS)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(_issuer(key), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_path, _private(key))
        write_private(self.directory / "anchors" / "sample.pem", _public(certificate))
        write_private(self._crl_path, revoked.public_bytes(serialization.Encoding.PEM))

    def certify(
        self, key: ec.EllipticCurvePublicKey, address: str, *, ends: datetime = ENDS
    ) -> str:
        """A certificate for that address: to sign with and to be written to with. PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        mail = x509.SubjectAlternativeName([x509.RFC822Name(address)])
        certificate = (
            builder(subject, _NAME, key, BEGINS, ends)
            .add_extension(mail, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage("digital_signature", "key_agreement"), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
            .add_extension(_issuer(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _public(certificate).decode("ascii")

    @property
    def _key_path(self) -> Path:
        return self.directory / "authority.key"

    @property
    def _crl_path(self) -> Path:
        return self.directory / "crl" / "sample.pem"

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        found = serialization.load_pem_private_key(self._key_path.read_bytes(), password=None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)  # noqa: S101 - written above
        return found


def ensure_identity(keyring: Keyring, authority: Authority, *, name: str, email: str) -> None:
    """Give the practice an identity that signs as `email`, unless it has one."""
    if keyring.smime_identity() is not None:
        return
    keys = keyring.purposes["smime"]
    made = new_smime_key(keys, lambda _: None, name=name, email=email)
    path = keys.path(made.number)
    request = x509.load_pem_x509_csr(path.with_suffix(".csr").read_bytes())
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyringError("the practice's signing request is of another kind; report this")
    write_new(path.with_suffix(".crt"), authority.certify(key, email).encode("ascii"))


def ensure_correspondents(warehouse: Engine, authority: Authority) -> int:
    """Give the correspondents their certificates; the same ones at every call. Gives how many."""
    with warehouse.begin() as connection:
        found = connection.execute(
            text(
                "SELECT patient_key, email FROM synthea.contact"
                " WHERE email IS NOT NULL AND confidential_channel IS NULL"
                " ORDER BY md5(patient_key)"
                " LIMIT (SELECT least(:most, count(*) / :one_in) FROM synthea.contact)"
            ),
            {"most": MOST, "one_in": ONE_IN},
        ).all()
        for number, row in enumerate(found):
            ends = EXPIRED if number % 10 == 9 else ENDS
            connection.execute(
                text(
                    "UPDATE synthea.contact SET smime_certificate = :pem,"
                    " reads_authenticated_encryption = :reads WHERE patient_key = :patient_key"
                ),
                {
                    "pem": _correspondent(authority, row.email, ends),
                    "reads": True if number % 10 != 8 else None,
                    "patient_key": row.patient_key,
                },
            )
    return len(found)


def _correspondent(authority: Authority, address: str, ends: datetime) -> str:
    path = authority.patients / f"{address}.crt"
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path.with_suffix(".key"), _private(key))
        pem = authority.certify(key.public_key(), address, ends=ends)
        write_private(path, pem.encode("ascii"))
    return path.read_text(encoding="ascii")


def _issuer(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
