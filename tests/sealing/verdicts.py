"""What `check_certificate` says of a certificate, in one word, for tests."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from reengage.sealing.certificates import CertificateFault, check_certificate
from reengage.sealing.trust import Trust
from sealing.authority import NOW, PATIENT, pem, root

ROOT = root()
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def verdict(certificate: x509.Certificate | str, trust: Trust, **other: Any) -> str:
    text = certificate if isinstance(certificate, str) else pem(certificate)
    arguments = {"address": PATIENT, "at": NOW, **other}
    try:
        check_certificate(text, trust=trust, **arguments)
    except CertificateFault as fault:
        return fault.code
    return "sound"


def mail_in_subject(address: str = PATIENT) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, address)])
