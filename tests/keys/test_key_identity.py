"""The keys with a public side: a new one signs only once others can verify it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from reengage.errors import KeyringError
from reengage.keys import Keyring, ensure_keyring, rotation
from reengage.keys.identity import new_smime_key
from reengage.keys.info import KeyInfo

ADDRESS = "care@clinic.example.org"


@pytest.fixture
def keyring(keys: Path) -> Keyring:
    return ensure_keyring(keys)


def unheard(info: KeyInfo) -> None:
    """Nobody is told."""


def waiting(keyring: Keyring) -> Path:
    """A new S/MIME key; where its certificate belongs."""
    keys = keyring.purposes["smime"]
    info = new_smime_key(keys, unheard, name="Prairie Clinic", email=ADDRESS)
    return keys.path(info.number).with_suffix(".crt")


def issued(request: Path) -> bytes:
    """A certificate for a request, and that of the authority that issued it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority")])
    asked = x509.load_pem_x509_csr(request.read_bytes())
    assert asked.is_signature_valid
    chain = b""
    for subject, public in ((asked.subject, asked.public_key()), (name, key.public_key())):
        builder = (
            x509.CertificateBuilder()
            .issuer_name(name)
            .subject_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        )
        chain += builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return chain


# --- S/MIME ---


def test_there_is_no_identity_until_a_certificate_lies_beside_a_key(keyring: Keyring) -> None:
    assert keyring.smime_identity() is None
    place = waiting(keyring)
    assert place.name == "0001.crt"
    assert keyring.smime_identity() is None
    request = x509.load_pem_x509_csr(place.with_suffix(".csr").read_bytes())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [ADDRESS]
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)
    chain = issued(place.with_suffix(".csr"))
    place.write_bytes(chain)
    found = keyring.smime_identity()
    assert found is not None
    assert found[0].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert found[1] == chain


def test_the_old_identity_signs_until_the_new_one_has_its_certificate(keyring: Keyring) -> None:
    first = waiting(keyring)
    first.write_bytes(issued(first.with_suffix(".csr")))
    old = keyring.smime_identity()
    second = waiting(keyring)
    assert keyring.smime_identity() == old
    states = [one.state for one in rotation.listed(keyring, {}) if one.purpose == "smime"]
    assert states == ["signs", "waits"]
    second.write_bytes(issued(second.with_suffix(".csr")))
    new = keyring.smime_identity()
    assert new is not None
    assert new != old
    rotation.destroy(keyring, "smime", 1)
    states = [one.state for one in rotation.listed(keyring, {}) if one.purpose == "smime"]
    assert states == ["destroyed", "signs"]
    assert keyring.smime_identity() == new


def test_another_keys_certificate_and_noise_are_told(keyring: Keyring) -> None:
    first, second = waiting(keyring), waiting(keyring)
    second.write_bytes(issued(first.with_suffix(".csr")))
    with pytest.raises(KeyringError, match=r"0002\.crt is the certificate of another key"):
        keyring.smime_identity()
    for noise in (b"", b"noise", second.with_suffix(".csr").read_bytes()):
        second.write_bytes(noise)
        with pytest.raises(KeyringError, match=r"0002\.crt is not a certificate in PEM"):
            keyring.smime_identity()


def leaf(place: Path) -> bytes:
    """DER of the certificate that comes first in a file."""
    first = x509.load_pem_x509_certificates(place.read_bytes())[0]
    return first.public_bytes(serialization.Encoding.DER)


def test_certificates_of_retired_identities_are_known_until_their_keys_are_destroyed(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyring.smime_certificates() == frozenset()
    first, second, _ = waiting(keyring), waiting(keyring), waiting(keyring)
    for place in (first, second):
        place.write_bytes(issued(place.with_suffix(".csr")))
    with monkeypatch.context() as patch:
        patch.setattr(type(keyring.purposes["smime"]), "secret", None)  # no key is opened
        assert keyring.smime_certificates() == {leaf(first), leaf(second)}
    rotation.destroy(keyring, "smime", 1)
    assert keyring.smime_certificates() == {leaf(second)}


def test_a_retired_identitys_certificate_that_is_another_keys_or_noise_is_told(
    keyring: Keyring,
) -> None:
    first, second = waiting(keyring), waiting(keyring)
    for place in (first, second):
        place.write_bytes(issued(second.with_suffix(".csr")))
    assert keyring.smime_identity() is not None
    with pytest.raises(KeyringError, match=r"0001\.crt is the certificate of another key"):
        keyring.smime_certificates()
    first.write_bytes(b"noise")
    with pytest.raises(KeyringError, match=r"0001\.crt is not a certificate in PEM"):
        keyring.smime_certificates()


# --- DKIM ---


def test_the_selector_decides_which_dkim_key_signs(keyring: Keyring) -> None:
    old = keyring.dkim_key()
    info = rotation.rotate_dkim(keyring, "s2", unheard)
    assert keyring.dkim_key() == keyring.dkim_key("s1") == old
    new = keyring.dkim_key("s2")
    assert new != old
    assert info.public is not None
    public = serialization.load_der_public_key(base64.b64decode(info.public.split("p=")[1]))
    own = serialization.load_pem_private_key(new, None).public_key()
    assert public.public_numbers() == own.public_numbers()  # type: ignore[union-attr]
    for selector, states in ((None, ["signs", "waits"]), ("s2", ["retired", "signs"])):
        listed = rotation.listed(keyring, {}, selector)
        assert [one.state for one in listed if one.purpose == "dkim"] == states


def test_a_selector_that_letters_were_signed_under_keeps_its_key(keyring: Keyring) -> None:
    rotation.rotate_dkim(keyring, "s2", unheard)
    with pytest.raises(KeyringError, match=r"selector s2 has its key already.*choose another"):
        rotation.rotate_dkim(keyring, "s2", unheard)


def test_the_dkim_key_in_use_is_not_destroyed_though_a_newer_one_waits(keyring: Keyring) -> None:
    rotation.rotate_dkim(keyring, "s2", unheard)
    used = rotation.in_use(keyring, "dkim", "s1")
    with pytest.raises(KeyringError, match="dkim key 1 is in use or the newest"):
        rotation.require_destroyable(keyring, "dkim", 1, 0, 0, used)
    used = rotation.in_use(keyring, "dkim", "s2")
    rotation.require_destroyable(keyring, "dkim", 1, 0, 0, used)
