"""The embedded relay's certificates: renewed in time, kept otherwise, keys for the owner only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from reengage.embedded.certificates import LOCAL_NAMES, RENEW, ensure_certificates, issue


def test_they_are_for_this_machine_on_p256_and_signed_by_the_authority(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "new")
    cert = x509.load_pem_x509_certificate(files.cert.read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == list(LOCAL_NAMES)
    key = cert.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))


def test_no_other_user_can_read_them_and_the_authoritys_key_is_nowhere(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "new")
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.key.parent.stat().st_mode & 0o777 == 0o700
    keys = [path for path in (tmp_path / "new").iterdir() if b"PRIVATE" in path.read_bytes()]
    assert keys == [files.key]


@pytest.mark.parametrize(("left", "renewed"), [(RENEW / 2, True), (RENEW * 2, False)])
def test_they_are_renewed_in_the_last_week_and_kept_before(
    left: timedelta, renewed: bool, tmp_path: Path
) -> None:
    files = ensure_certificates(tmp_path)
    now = datetime.now(UTC)
    issue(files, names=LOCAL_NAMES, begins=now - timedelta(days=20), ends=now + left)
    before = [path.read_bytes() for path in (files.ca, files.cert, files.key)]
    ensure_certificates(tmp_path)
    after = [path.read_bytes() for path in (files.ca, files.cert, files.key)]
    assert [a != b for a, b in zip(before, after, strict=True)] == [renewed] * 3
