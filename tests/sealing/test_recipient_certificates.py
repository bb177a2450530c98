"""Certificates: what is accepted, and each way in which one is refused, by its code."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from reengage.sealing import enveloped
from reengage.sealing.certificates import (
    FAULTS,
    MAX_PEM_CHARACTERS,
    CertificateFault,
    check_certificate,
    read_certificate,
)
from reengage.sealing.trust import Trust
from sealing.authority import (
    KINDS,
    MAIL,
    NOW,
    PATIENT,
    Authority,
    for_key,
    for_mailbox,
    key,
    pem,
    root,
    trusting,
    usage,
)
from sealing.verdicts import ROOT, UNKNOWN, mail_in_subject, verdict


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return trusting(tmp_path, ROOT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_certificate_is_accepted_for_every_kind_of_key(kind: str, trust: Trust) -> None:
    certificate = ROOT.certify(key(kind))
    checked = check_certificate(pem(certificate), address=PATIENT, at=NOW, trust=trust)
    assert checked.serial == certificate.serial_number
    assert checked.expires == certificate.not_valid_after_utc
    assert checked.issuer == ROOT.certificate.subject.public_bytes()
    assert checked.digest == certificate.fingerprint(hashes.SHA256()).hex()


def with_usage(**granted: bool) -> x509.Certificate:
    return ROOT.certify(extensions=((usage(**granted), True), *MAIL, *for_mailbox()))


def for_purposes(*purposes: x509.ObjectIdentifier) -> x509.Certificate:
    eku = ((x509.ExtendedKeyUsage(list(purposes)), False),) if purposes else ()
    return ROOT.certify(extensions=(*for_key(key()), *eku, *for_mailbox()))


def with_key(kind: str) -> x509.Certificate:
    return ROOT.certify(key(kind))


def plus(*extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    return ROOT.certify(extensions=(*for_key(key()), *MAIL, *for_mailbox(), *extensions))


REFUSED: dict[str, tuple[str, Callable[[], x509.Certificate]]] = {
    "tomorrow's": ("certificate_not_yet_valid", lambda: ROOT.certify(starts=NOW + timedelta(1))),
    "yesterday's": ("certificate_expired", lambda: ROOT.certify(ends=NOW - timedelta(1))),
    "RSA-1024": ("certificate_weak_key", lambda: with_key("rsa-1024")),
    "RSA with an exponent of 3": (
        "certificate_weak_key",
        lambda: ROOT.certify(rsa.generate_private_key(public_exponent=3, key_size=2048)),
    ),
    "P-521": ("certificate_weak_key", lambda: with_key("p-521")),
    "for signing only": (
        "certificate_wrong_usage", lambda: with_usage(digital_signature=True)
    ),
    "an elliptic key for key transport": (
        "certificate_wrong_usage", lambda: with_usage(key_encipherment=True)
    ),
    "an RSA key for key agreement": (
        "certificate_wrong_usage",
        lambda: ROOT.certify(
            key("rsa-2048"), ((usage(key_agreement=True), True), *MAIL, *for_mailbox())
        ),
    ),
    "no key usage": (
        "certificate_wrong_usage", lambda: ROOT.certify(extensions=(*MAIL, *for_mailbox()))
    ),
    "no purpose": ("certificate_wrong_usage", lambda: for_purposes()),
    "a web server's": (
        "certificate_wrong_usage", lambda: for_purposes(ExtendedKeyUsageOID.SERVER_AUTH)
    ),
    "any purpose": (
        "certificate_wrong_usage", lambda: for_purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    ),
    "an authority's": (
        "certificate_wrong_usage", lambda: plus((x509.BasicConstraints(True, None), True))
    ),
    "an unknown critical extension": ("certificate_untrusted", lambda: plus((UNKNOWN, True))),
    "another root's": ("certificate_untrusted", lambda: root("other").certify()),
    "a root's of the same name": (
        "certificate_untrusted",
        lambda: Authority(ROOT.certificate, key("p-256", "impostor")).certify(),
    ),
    "its own": (
        "certificate_untrusted", lambda: Authority(ROOT.certify(), key()).certify()
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_certificate_is_refused_by_its_code(case: str, trust: Trust) -> None:  # EML-23
    code, make = REFUSED[case]
    assert verdict(make(), trust) == code


def test_without_trust_nobody_is_believed() -> None:
    assert verdict(ROOT.certify(), Trust()) == "certificate_untrusted"


@pytest.mark.parametrize(
    ("own", "address"),
    [
        ("given.family@example.org", "Given.Family@example.org"),  # another local part
        (PATIENT, "Given.Family@example.com"),
        (PATIENT, "Given.Family@example.org.example.com"),
        (PATIENT, "Given.Fämily@example.org"),
        (PATIENT, "Given.Family"),
        (PATIENT, ""),
        ("@example.org", "@example.org"),
    ],
)
def test_another_address_is_refused(own: str, address: str, trust: Trust) -> None:
    certificate = ROOT.certify(extensions=(*for_key(key()), *MAIL, *for_mailbox(own)))
    assert verdict(certificate, trust, address=address) == "certificate_wrong_address"


def test_a_domain_is_the_same_in_any_case(trust: Trust) -> None:
    assert verdict(ROOT.certify(), trust, address="Given.Family@EXAMPLE.org") == "sound"


def test_the_subject_names_the_mailbox_where_no_alternative_name_does(trust: Trust) -> None:
    bare = (*for_key(key()), *MAIL)
    assert verdict(ROOT.certify(extensions=bare, subject=mail_in_subject()), trust) == "sound"
    other = ROOT.certify(
        extensions=(*bare, *for_mailbox("x@example.org")), subject=mail_in_subject()
    )
    assert verdict(other, trust) == "certificate_wrong_address"


def test_an_address_beyond_ascii_is_nobodys(trust: Trust) -> None:
    address = "Given.Fämily@example.org"
    certificate = ROOT.certify(
        extensions=(*for_key(key()), *MAIL), subject=mail_in_subject(address)
    )
    assert verdict(certificate, trust, address=address) == "certificate_wrong_address"


def test_a_letter_that_only_looks_like_one_of_ascii_makes_no_domain_the_same(trust: Trust) -> None:
    own = "Given.Family@\u212aexample.org"  # the Kelvin sign, whose lower case is a plain k
    bare = (*for_key(key()), *MAIL)
    certificate = ROOT.certify(extensions=bare, subject=mail_in_subject(own))
    address = "Given.Family@kexample.org"
    assert verdict(certificate, trust, address=address) == "certificate_wrong_address"


def with_modulus(change: Callable[[int], int]) -> x509.Certificate:
    """An RSA certificate whose modulus is no product of two odd primes."""
    public = key("rsa-2048").public_key()
    modulus = public.public_numbers().n
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    other = der.replace(modulus.to_bytes(256), change(modulus).to_bytes(256))

    class Odd:
        def public_key(self) -> rsa.RSAPublicKey:
            loaded = load_der_public_key(other)
            assert isinstance(loaded, rsa.RSAPublicKey)
            return loaded

    extensions = ((usage(key_encipherment=True), True), *MAIL, *for_mailbox())
    return ROOT.certify(Odd(), extensions)


@pytest.mark.parametrize("change", [lambda n: n + 1, lambda n: (1 << 2047) + 2])
def test_a_key_that_nothing_can_be_encrypted_to_is_refused(
    change: Callable[[int], int], trust: Trust
) -> None:
    assert verdict(with_modulus(change), trust) == "certificate_weak_key"


def test_a_key_that_openssl_refuses_in_the_act_is_a_fault_of_the_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = read_certificate(pem(with_modulus(lambda n: n + 1)))
    monkeypatch.setattr("reengage.sealing.certificates._strong", lambda key: True)
    with pytest.raises(CertificateFault) as raised:
        enveloped.encrypt(b"letter", certificate)
    assert raised.value.code == "certificate_weak_key"


def test_a_smtputf8_name_is_no_mailbox(trust: Trust) -> None:
    other = x509.OtherName(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x18" + PATIENT.encode()
    )
    names = ((x509.SubjectAlternativeName([other]), False),)
    certificate = ROOT.certify(extensions=(*for_key(key()), *MAIL, *names))
    assert verdict(certificate, trust) == "certificate_wrong_address"


def test_a_signature_with_sha_1_is_refused(trust: Trust) -> None:
    certificate = (Path(__file__).parent / "sha1.pem").read_text(encoding="ascii")
    in_force = datetime(2030, 1, 1, tzinfo=UTC)
    assert verdict(certificate, trust, at=in_force) == "certificate_weak_key"


SOUND = pem(ROOT.certify())
MALFORMED = {
    "nothing": "",
    "garbage": "a certificate",
    "two": SOUND + SOUND,
    "text before": "a patient\n" + SOUND,
    "text after": SOUND + "garbage",
    "a key": pem(key()),
    "no end": SOUND[:-10],
    "another label": SOUND.replace("CERTIFICATE", "X509 CRL"),
    "no base64": SOUND.replace("M", "?"),
    "empty": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    "not ASCII": SOUND.replace("M", "Ḿ"),
    "half a character": SOUND + "\ud800",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_not_one_certificate_is_malformed(case: str, trust: Trust) -> None:
    assert verdict(MALFORMED[case], trust) == "certificate_malformed"


def test_a_certificate_with_an_extension_of_ten_megabytes_costs_nothing(trust: Trust) -> None:
    der = b"\x30\x84" + (10_000_000).to_bytes(4, "big") + bytes(10_000_000)
    text = base64.encodebytes(der).decode()
    huge = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
    start = time.process_time()
    assert verdict(huge, trust) == "certificate_too_large"
    assert time.process_time() - start < 0.01


def test_the_largest_certificate_that_is_read_is_far_larger_than_any_real_one(
    trust: Trust,
) -> None:
    assert len(pem(ROOT.certify(key("rsa-4096")))) * 5 < MAX_PEM_CHARACTERS
    assert verdict(SOUND + "\n" * (MAX_PEM_CHARACTERS - len(SOUND)), trust) == "sound"
    assert verdict(SOUND + "\n" * MAX_PEM_CHARACTERS, trust) == "certificate_too_large"


DER = base64.b64decode("".join(SOUND.splitlines()[1:-1]))


def armoured(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def test_unused_bits_of_a_signature_make_no_other_certificate(trust: Trust) -> None:
    """Found by the next test: nobody signs how many bits of the signature are unused."""
    for _ in range(64):
        der = bytearray(ROOT.certify().public_bytes(Encoding.DER))
        signature = x509.load_der_x509_certificate(bytes(der)).signature
        der[-len(signature) - 1] = 1
        assert verdict(armoured(bytes(der)), trust) == "certificate_malformed"


def test_no_altered_or_cut_certificate_is_accepted_or_raises_anything_else(trust: Trust) -> None:
    altered = [DER[:length] for length in range(len(DER))]
    for place in range(len(DER)):
        for bit in range(8):
            flipped = bytearray(DER)
            flipped[place] ^= 1 << bit
            altered.append(bytes(flipped))
    assert {verdict(armoured(der), trust) for der in altered} <= set(FAULTS)


@given(text=st.one_of(st.text(), st.binary(min_size=1).map(armoured)))
def test_no_bytes_raise_anything_but_a_fault(text: str, trust_once: Trust) -> None:
    assert verdict(text, trust_once) in FAULTS


@pytest.fixture(scope="module")
def trust_once(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return trusting(tmp_path_factory.mktemp("trust"), ROOT)


def test_a_fault_says_its_code_and_nothing_of_the_patient(trust: Trust) -> None:
    with pytest.raises(CertificateFault) as raised:
        check_certificate(pem(ROOT.certify()), address="x@example.org", at=NOW, trust=trust)
    assert str(raised.value) == "the recipient's certificate is refused: certificate_wrong_address"
