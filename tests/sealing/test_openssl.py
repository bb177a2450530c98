"""OpenSSL's view: it opens and verifies our letters, and we open its.

The reference outside Python, and what mutt and many gateways work with. Skipped where the command
is absent or older than 3.0, the first that knows AuthEnvelopedData.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from reengage.errors import LetterError
from reengage.sealing import enveloped, mime
from reengage.sealing.protection import protect
from reengage.sealing.smime import open_as_recipient, seal
from sealing.authority import KINDS, NOW, PRACTICE, key, pem
from sealing.letters import PAYLOAD, ROOT, SIGNERS, chain, patient, signer
from sealing.test_protection import ENTITY, FIELDS

AT = str(int(NOW.timestamp()))


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Its standard output. Fails the test with its message."""
    command = [str(shutil.which("openssl")), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def too_old() -> bool:
    if shutil.which("openssl") is None:
        return True
    version = re.match(rb"OpenSSL (\d+)", openssl("version"))
    return version is None or int(version[1]) < 3


pytestmark = pytest.mark.skipif(too_old(), reason="needs the openssl command, 3.0 or later")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Root, and for each kind of key a patient's certificate and key."""
    (tmp_path / "root.pem").write_text(pem(ROOT.certificate))
    for kind in KINDS:
        certificate, private = patient(kind)
        (tmp_path / f"{kind}.pem").write_text(pem(certificate.parsed))
        (tmp_path / f"{kind}.key").write_text(pem(private))
    return tmp_path


def decrypted(entity: bytes, kind: str, files: Path) -> bytes:
    return openssl(
        "cms", "-decrypt", "-recip", files / f"{kind}.pem", "-inkey", files / f"{kind}.key",
        stdin=entity,
    )  # fmt: skip


def verified(entity: bytes, files: Path) -> bytes:
    return openssl(
        "cms", "-verify", "-CAfile", files / "root.pem", "-attime", AT, "-signer",
        files / "signer.pem", stdin=entity,
    )  # fmt: skip


@pytest.mark.parametrize("by", SIGNERS)
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_opens_and_verifies_our_letters(
    kind: str, by: str, files: Path
) -> None:  # EML-21, SEC-18
    inner = decrypted(seal(PAYLOAD, patient(kind)[0], signer(by)).entity, kind, files)
    assert verified(inner, files) == PAYLOAD
    written = x509.load_pem_x509_certificate((files / "signer.pem").read_bytes())
    own = x509.load_pem_x509_certificates(chain(by))[0]
    assert written.fingerprint(hashes.SHA256()) == own.fingerprint(hashes.SHA256())


def test_what_openssl_opens_reads_as_a_message_with_its_own_subject(files: Path) -> None:
    """Python's view of OpenSSL's view: the whole letter, header protection included (EML-22)."""
    outer, payload = protect(FIELDS, ENTITY)
    sealed = seal(payload, patient()[0], signer())
    letter = b"\r\n".join(outer) + b"\r\n" + sealed.entity
    assert b"CANARY" not in letter
    outside = message_from_bytes(letter, policy=policy.default)
    assert outside["Subject"] == "[...]"
    inside = message_from_bytes(
        verified(decrypted(letter, "p-256", files), files), policy=policy.default
    )
    assert "CANARY" in inside["Subject"]
    assert inside["Content-Type"].params["hp"] == "cipher"
    assert inside.get_content() == "Hello.\r\n"


MODES = {
    "rsa": ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
    "p": ("-keyopt", "ecdh_kdf_md:sha256"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_we_open_what_openssl_makes(kind: str, files: Path) -> None:
    (files / "practice.pem").write_bytes(chain())
    (files / "practice.key").write_text(pem(key("p-256", "practice")))
    inner = openssl(
        "cms", "-sign", "-nodetach", "-binary", "-md", "sha256", "-cades",
        "-signer", files / "practice.pem", "-inkey", files / "practice.key",
        stdin=PAYLOAD,
    )  # fmt: skip
    entity = openssl(
        "cms", "-encrypt", "-aes-256-gcm", "-recip", files / f"{kind}.pem",
        *MODES[kind.split("-")[0]], stdin=inner,
    )  # fmt: skip
    certificate, private = patient(kind)
    assert (
        open_as_recipient(entity, private, certificate, signer_certificate=signer().certificate)
        == PAYLOAD
    )


WEAKER = {
    "CBC": ("-aes-256-cbc", "rsa_padding_mode:oaep", "rsa_oaep_md:sha256"),
    "AES-128": ("-aes-128-gcm", "rsa_padding_mode:oaep", "rsa_oaep_md:sha256"),
    "PKCS #1 v1.5": ("-aes-256-gcm", "rsa_padding_mode:pkcs1"),
    "OAEP with SHA-1": ("-aes-256-gcm", "rsa_padding_mode:oaep", "rsa_oaep_md:sha1"),
}


@pytest.mark.parametrize("weaker", WEAKER)
def test_we_open_nothing_weaker(weaker: str, files: Path) -> None:  # EML-23
    cipher, *options = WEAKER[weaker]
    entity = openssl(
        "cms", "-encrypt", cipher, "-recip", files / "rsa-2048.pem",
        *(word for option in options for word in ("-keyopt", option)), stdin=PAYLOAD,
    )  # fmt: skip
    certificate, private = patient("rsa-2048")
    with pytest.raises(LetterError):
        enveloped.decrypt(mime.unwrap(entity, "authEnveloped-data"), private, certificate)


def test_openssl_refuses_our_letter_with_one_bit_changed(files: Path) -> None:
    der, _ = enveloped.encrypt(PAYLOAD, patient()[0])
    altered = mime.wrap(der[:-1] + bytes([der[-1] ^ 1]), "authEnveloped-data")
    with pytest.raises(AssertionError, match="CMS"):
        decrypted(altered, "p-256", files)


def test_a_signature_for_another_letter_does_not_verify(files: Path) -> None:
    inner = decrypted(seal(PAYLOAD, patient()[0], signer()).entity, "p-256", files)
    structure = mime.unwrap(inner, "signed-data").replace(b"Thursday", b"Saturday")
    with pytest.raises(AssertionError, match="verification failure"):
        verified(mime.wrap(structure, "signed-data"), files)


def test_the_practice_signs_for_its_own_address(files: Path) -> None:
    inner = decrypted(seal(PAYLOAD, patient()[0], signer()).entity, "p-256", files)
    verified(inner, files)
    shown = openssl("x509", "-in", files / "signer.pem", "-noout", "-email")
    assert shown.decode().split() == [PRACTICE]
