"""Correspondents: an authority of the tests' own, the practice's identity, patients' certificates.

people = Correspondents.create(directory)
people.equip(keyring, "letters@prairie.example.org")   # the practice can sign from then on
pem = people.certify("p1@example.org")                 # a patient's, whose key is kept
people.open(message, "p1@example.org")                 # as p1's mail client opens it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from reengage.embedded.certificates import builder, key_usage
from reengage.embedded.correspondents import BEGINS, ENDS, EXPIRED, Authority
from reengage.keys import open_keyring, write_new
from reengage.keys.identity import new_smime_key
from reengage.sealing.certificates import certificate_of
from reengage.sealing.smime import open_as_recipient

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Pair = tuple[ec.EllipticCurvePrivateKey, str]


@dataclass
class Correspondents:
    """One authority, and those whom it knows."""

    authority: Authority
    people: dict[str, Pair] = field(default_factory=dict)
    signs: bytes = b""
    """DER of the practice's certificate."""

    @classmethod
    def create(cls, directory: Path) -> Correspondents:
        authority = Authority(directory)
        authority.ensure()
        return cls(authority)

    def equip(self, keyring: Path, address: str, *, expired: bool = False) -> None:
        """Give the practice an identity that signs as `address`; the newest one counts."""
        keys = open_keyring(keyring).purposes["smime"]
        made = new_smime_key(keys, lambda _: None, name="the practice", email=address)
        path = keys.path(made.number)
        request = x509.load_pem_x509_csr(path.with_suffix(".csr").read_bytes()).public_key()
        assert isinstance(request, ec.EllipticCurvePublicKey)
        pem = self.authority.certify(request, address, ends=EXPIRED if expired else ENDS)
        write_new(path.with_suffix(".crt"), pem.encode("ascii"))
        self.signs = _der(pem)

    def unequip(self, keyring: Path) -> None:
        """Take it away again."""
        rmtree(keyring / "smime")

    @property
    def trust(self) -> Path:
        return self.authority.directory

    def certify(self, address: str, *, expired: bool = False, revoked: bool = False) -> str:
        """A certificate, and the key kept to open letters with."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = self.authority.certify(key.public_key(), address, ends=EXPIRED if expired else ENDS)
        self.people[address] = (key, pem)
        if revoked:
            self.revoke(address)
        return pem

    def odd(
        self,
        address: str,
        *,
        key: PublicKey | None = None,
        begins: datetime = BEGINS,
        signs_only: bool = False,
    ) -> str:
        """A certificate of the authority's that no sound one would be like."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        sealing = "key_encipherment" if isinstance(key, rsa.RSAPublicKey) else "key_agreement"
        usage = key_usage("digital_signature", *([] if signs_only else [sealing]))
        public: Any = key or ec.generate_private_key(ec.SECP256R1()).public_key()
        made = (
            builder(name, self._anchor.subject, public, begins, ENDS)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def revoke(self, address: str) -> None:
        """From now on its certificate is on the authority's list."""
        serial = x509.load_pem_x509_certificate(self.people[address][1].encode()).serial_number
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(BEGINS + timedelta(days=1))
            .build()
        )
        revoked = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._anchor.subject)
            .last_update(BEGINS)
            .next_update(ENDS)
            .add_revoked_certificate(entry)
            .add_extension(x509.CRLNumber(2), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        path = self.trust / "crl" / "sample.pem"
        path.write_bytes(revoked.public_bytes(serialization.Encoding.PEM))

    @property
    def _anchor(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.trust / "anchors" / "sample.pem").read_bytes())

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        found = serialization.load_pem_private_key(
            (self.trust / "authority.key").read_bytes(), password=None
        )
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        return found

    def stranger(self) -> Correspondents:
        """Another authority, which nobody trusts."""
        return Correspondents.create(self.trust.with_name("stranger"))

    def open(self, message: bytes, address: str) -> bytes:
        """The payload, as the recipient's client opens it."""
        key, pem = self.people[address]
        _, _, entity = message.partition(b"MIME-Version: 1.0\r\n")
        return open_as_recipient(
            entity, key, certificate_of(_der(pem)), signer_certificate=self.signs
        )


def _der(pem: str) -> bytes:
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    return certificate.public_bytes(serialization.Encoding.DER)
