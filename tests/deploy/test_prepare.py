"""What `prepare` makes: certificates for services to show each other, the key that signs tokens."""

from __future__ import annotations

import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12
from reengage.authorities import read_authorities
from reengage.deploy import certificates, signing
from reengage.deploy.prepare import prepare
from reengage.errors import ConfigurationError
from reengage.settings import HOME

SYSTEM = "-----BEGIN CERTIFICATE-----\nof the system\n-----END CERTIFICATE-----\n"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    (tmp_path / "system.pem").write_text(SYSTEM)
    tls = tmp_path / "tls"
    for name in ("ca", "jwt", *certificates.SERVICES):
        (tls / name).mkdir(parents=True)
    made = prepare(tls, system=tmp_path / "system.pem", renew=False)
    assert len(made) == 2
    return tmp_path


def again(home: Path) -> list[str]:
    return prepare(home / "tls", system=home / "system.pem", renew=True)


def shaken(tls: Path, service: str, name: str, trusting: Path | None = None) -> str | None:
    """The TLS version of a conversation with the service under that name."""
    one = certificates.SERVICES[service]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls / service / one.cert, tls / service / one.key)
    client = ssl.create_default_context(cafile=trusting or tls / "ca" / "ca.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()

    def answer() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as inside:
                inside.recv(1)
        except OSError:
            pass

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as inside:
            return inside.version()
    finally:
        near.close()
        thread.join()


@pytest.mark.parametrize("service", sorted(certificates.SERVICES))
def test_a_service_is_believed_under_its_name_and_no_other(service: str, prepared: Path) -> None:
    tls = prepared / "tls"
    assert shaken(tls, service, service) == "TLSv1.3"
    other = next(name for name in certificates.SERVICES if name != service)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shaken(tls, service, other)


def test_keys_are_read_by_their_service_only_and_the_authoritys_is_nowhere(prepared: Path) -> None:
    for path in (prepared / "tls").rglob("*"):
        readable = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            service = certificates.SERVICES.get(path.parent.name)
            assert readable == (0o640 if service and service.group_reads else 0o600)
    keys = [path for path in (prepared / "tls").rglob("*")
            if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]  # fmt: skip
    assert len(keys) == len(certificates.SERVICES) + 1  # and the one that signs tokens
    bundle = (prepared / "tls" / "ca" / "bundle.pem").read_text()
    assert bundle.startswith(SYSTEM)
    assert bundle.endswith((prepared / "tls" / "ca" / "ca.pem").read_text())


def test_what_is_sound_is_kept_and_what_ends_soon_is_made_anew_all_together(prepared: Path) -> None:
    tls, system = prepared / "tls", prepared / "system.pem"
    (tls / "redis" / "cert.pem").unlink()
    long_ago = datetime.now(UTC) - certificates.VALID + certificates.RENEW - timedelta(days=1)
    assert certificates.ensure(tls, long_ago, system=system, renew=True)
    before = (tls / "ca" / "ca.pem").read_bytes()
    assert not certificates.ensure(tls, long_ago, system=system, renew=True)
    assert again(prepared) != []
    assert (tls / "ca" / "ca.pem").read_bytes() != before
    assert shaken(tls, "redis", "redis")


def test_what_is_over_is_made_anew_by_whoever_comes_first(ending: Path) -> None:
    tls, system = ending / "tls", ending / "system.pem"
    over = datetime.now(UTC) + certificates.RENEW
    assert not certificates.ensure(tls, datetime.now(UTC), system=system, renew=False)
    assert certificates.ensure(tls, over, system=system, renew=False)


def test_one_that_is_missing_makes_all_anew(prepared: Path) -> None:
    (prepared / "tls" / "redis" / "cert.pem").unlink()
    assert len(again(prepared)) == 1
    assert shaken(prepared / "tls", "postgres", "postgres")


@pytest.fixture
def ending(prepared: Path) -> Path:
    """Certificates of nearly a year ago: valid for a month, as what runs goes on showing them."""
    made = datetime.now(UTC) - certificates.VALID + certificates.RENEW - timedelta(days=1)
    (prepared / "tls" / "ca" / "ca.pem").unlink()
    assert certificates.ensure(prepared / "tls", made, system=prepared / "system.pem", renew=True)
    shutil.copytree(prepared / "tls", prepared / "running")
    return prepared


@pytest.mark.parametrize("service", sorted(certificates.SERVICES))
def test_what_runs_since_before_and_what_was_started_anew_believe_each_other(
    service: str, ending: Path
) -> None:
    """A client reads the file of authorities at each connection, as libpq, redis and ours do."""
    trusted = ending / "tls" / "ca" / "ca.pem"
    assert shaken(ending / "running", service, service, trusted)
    assert again(ending) != []
    assert shaken(ending / "running", service, service, trusted)  # a server of before
    assert shaken(ending / "tls", service, service, trusted)
    assert shaken(ending / "tls", service, service, ending / "tls" / service / "ca.pem")
    assert shaken(ending / "running", service, service, ending / "tls" / service / "ca.pem")
    assert (ending / "tls" / "ca" / "bundle.pem").read_text() == SYSTEM + trusted.read_text()


def test_an_authority_that_is_over_is_trusted_no_more(ending: Path) -> None:
    tls, system = ending / "tls", ending / "system.pem"
    assert again(ending) != []
    assert len(read_authorities(tls / "ca" / "ca.pem")) == 2
    afterwards = datetime.now(UTC) + certificates.VALID - timedelta(days=1)
    assert certificates.ensure(tls, afterwards, system=system, renew=True)
    assert len(read_authorities(tls / "ca" / "ca.pem")) == 2  # the oldest of the three is gone


def test_after_a_key_was_exposed_nothing_of_before_is_believed(ending: Path) -> None:
    (ending / "tls" / "ca" / "ca.pem").unlink()
    assert again(ending) != []
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(ending / "running", "postgres", "postgres", ending / "tls" / "ca" / "ca.pem")


def test_two_authorities_of_one_day_are_told_apart(prepared: Path) -> None:
    shutil.copytree(prepared / "tls", prepared / "running")
    (prepared / "tls" / "redis" / "cert.pem").unlink()
    assert again(prepared) != []
    for server in ("running", "tls"):
        trusted = prepared / "tls" / "ca" / "ca.pem"
        assert shaken(prepared / server, "postgres", "postgres", trusted)


def test_it_says_how_the_certificates_are_called_and_others_are_called_otherwise(
    ending: Path,
) -> None:
    """The job itself: what it says last is what `make up` goes by."""

    def said(*more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "reengage.deploy.prepare", "--tls", ending / "tls", *more],
            env={"PYTHONPATH": str(HOME / "plugins")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    before = certificates.name_of(ending / "tls")
    # Only who starts everything anew has them renewed, not whoever starts one more worker.
    assert said() == ["nothing was missing", f"certificates {before}"]
    made, named = said("--renew")
    assert made.startswith("made certificates for api-server")
    assert named == f"certificates {certificates.name_of(ending / 'tls')}"
    assert named != f"certificates {before}"
    assert said("--renew") == said() == ["nothing was missing", named]


def test_javas_store_holds_the_same_key(prepared: Path) -> None:
    directory = prepared / "tls" / "marquez"
    key, certificate, _ = pkcs12.load_key_and_certificates(
        (directory / "keystore.p12").read_bytes(), b"changeit"
    )
    pem = load_pem_private_key((directory / "key.pem").read_bytes(), None)
    assert key is not None
    assert certificate is not None
    assert certificate.public_key() == pem.public_key() == key.public_key()


def test_without_public_authorities_it_says_what_to_install(tmp_path: Path) -> None:
    for name in ("ca", *certificates.SERVICES):
        (tmp_path / name).mkdir()
    with pytest.raises(ConfigurationError, match="install ca-certificates"):
        certificates.ensure(tmp_path, datetime.now(UTC), system=tmp_path / "none", renew=False)


def test_airflow_verifies_a_token_by_the_published_half(prepared: Path) -> None:
    from airflow.api_fastapi.auth.tokens import key_to_jwk_dict

    directory = prepared / "tls" / "jwt"
    private = load_pem_private_key((directory / "private.pem").read_bytes(), None)
    known = jwt.PyJWKSet.from_json((directory / "jwks.json").read_text())
    kid = key_to_jwk_dict(private)["kid"]  # as Airflow's generator names the key it signs with
    token = jwt.encode({"sub": "task"}, private, algorithm="EdDSA", headers={"kid": kid})
    assert jwt.decode(token, known[kid], algorithms=["EdDSA"]) == {"sub": "task"}
    assert "d" not in known[kid]._jwk_data  # no private half
    assert not signing.ensure(directory)
