"""Certificates that a relay ought not to show, and those it ought to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from reengage.embedded.certificates import LOCAL_NAMES, Certificates, issue

# The verification asks the machine's clock, so these are relative to it, by a day and a half.
_NOW = datetime.now(UTC)
_YESTERDAY, _TOMORROW = _NOW - timedelta(days=1), _NOW + timedelta(days=1)
_MONTH = timedelta(days=30)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def good(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _YESTERDAY, _TOMORROW)


def good_rsa(directory: Path) -> Certificates:
    return _chain(directory, _leaf(key=_rsa(2048)))


def good_with_intermediate(directory: Path) -> Certificates:
    return _chain(directory, _leaf(), _authority("between"))


def expired(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _YESTERDAY - _MONTH, _YESTERDAY)


def not_yet_valid(directory: Path) -> Certificates:
    return _issued(directory, LOCAL_NAMES, _TOMORROW, _TOMORROW + _MONTH)


def wrong_name(directory: Path) -> Certificates:
    return _issued(directory, ("relay.example.org",), _YESTERDAY, _TOMORROW)


def unknown_authority(directory: Path) -> Certificates:
    """Shown by the relay: a certificate of one authority. Trusted by the client: another."""
    shown = _issued(directory / "shown", LOCAL_NAMES, _YESTERDAY, _TOMORROW)
    trusted = _issued(directory / "trusted", LOCAL_NAMES, _YESTERDAY, _TOMORROW)
    return Certificates(ca=trusted.ca, cert=shown.cert, key=shown.key)


def self_signed(directory: Path) -> Certificates:
    """The relay's certificate is signed by its own key; the client trusts another authority."""
    files, own = good(directory), _leaf()
    _write(files, [own.signed_by(own)], own)
    return files


def common_name_only(directory: Path) -> Certificates:
    """Its name stands where browsers and RFC 9525 no longer look."""
    return _chain(directory, _leaf(names=()))


def for_clients_only(directory: Path) -> Certificates:
    return _chain(directory, _leaf(usage=ExtendedKeyUsageOID.CLIENT_AUTH))


def weak_key(directory: Path) -> Certificates:
    return _chain(directory, _leaf(key=_rsa(1024)))


def weak_authority(directory: Path) -> Certificates:
    return _chain(directory, _leaf(), _authority("between", key=_rsa(1024)))


def sha1_signed(directory: Path) -> Certificates:
    """Good but for the hash under its signature, which `cryptography` does not make any more."""
    files, root, leaf = Certificates.within(directory), _authority("root", key=_rsa(2048)), _leaf()
    certificate = _with_sha1(leaf.signed_by(root), root)
    _write(files, [certificate], leaf, root)
    return files


def not_an_authority(directory: Path) -> Certificates:
    """Somebody's genuine certificate of the authority, used to sign one for this machine."""
    return _chain(directory, _leaf(), _authority("somebody.example.org", authority=False))


def expired_intermediate(directory: Path) -> Certificates:
    between = _authority("between", begins=_YESTERDAY - _MONTH, ends=_YESTERDAY)
    return _chain(directory, _leaf(), between)


def _rsa(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class _Holder:
    """Whom a certificate is for."""

    name: str
    extensions: tuple[tuple[x509.ExtensionType, bool], ...]
    key: Key = field(default_factory=_p256)
    begins: datetime = _YESTERDAY
    ends: datetime = _TOMORROW

    @property
    def subject(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    def signed_by(self, issuer: _Holder) -> x509.Certificate:
        public = self.key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.begins)
            .not_valid_after(self.ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        if issuer is not self:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
            builder = builder.add_extension(authority, critical=False)
        for extension, critical in self.extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer.key, hashes.SHA256())


def _leaf(
    *,
    names: tuple[str, ...] = ("localhost",),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    key: Key | None = None,
) -> _Holder:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([usage]), False),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False))
    return _Holder("localhost", tuple(extensions), key or _p256())


def _authority(
    name: str,
    *,
    authority: bool = True,
    key: Key | None = None,
    begins: datetime = _YESTERDAY,
    ends: datetime = _TOMORROW,
) -> _Holder:
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=authority, path_length=None)
    return _Holder(name, ((constraints, True), (usage, True)), key or _p256(), begins, ends)


def _chain(directory: Path, leaf: _Holder, *between: _Holder) -> Certificates:
    """Shown: the leaf and what is between it and the root, which is trusted."""
    files, root = Certificates.within(directory), _authority("root")
    signers = [*between, root]
    holders = [leaf, *between]
    shown = [one.signed_by(by) for one, by in zip(holders, signers, strict=True)]
    _write(files, shown, leaf, root)
    return files


def _with_sha1(certificate: x509.Certificate, issuer: _Holder) -> x509.Certificate:
    sha256, sha1 = (bytes.fromhex("2a864886f70d0101") + end for end in (b"\x0b", b"\x05"))
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    content = certificate.tbs_certificate_bytes.replace(sha256, sha1)
    signature = issuer.key.sign(content, padding.PKCS1v15(), hashes.SHA1())
    der = certificate.public_bytes(serialization.Encoding.DER)
    der = der.replace(certificate.tbs_certificate_bytes, content).replace(sha256, sha1)
    return x509.load_der_x509_certificate(der.replace(certificate.signature, signature))


def _write(
    files: Certificates, shown: list[x509.Certificate], leaf: _Holder, root: _Holder | None = None
) -> None:
    files.cert.parent.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    files.cert.write_bytes(b"".join(one.public_bytes(pem) for one in shown))
    files.key.write_bytes(
        leaf.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    if root is not None:
        files.ca.write_bytes(root.signed_by(root).public_bytes(pem))


def _issued(
    directory: Path, names: tuple[str, ...], begins: datetime, ends: datetime
) -> Certificates:
    directory.mkdir(parents=True, exist_ok=True)
    files = Certificates.within(directory)
    issue(files, names=names, begins=begins, ends=ends)
    return files
