"""A hostile relay, or someone on the line to it: whatever it does, nothing of a letter leaves.

One table. Each row speaks real SMTP on a socket; after it the error names what happened, and not
one octet of recipient, subject or body has left, in clear or at all: SEC-18, PRV-24, EML-11
(mandatory STARTTLS, stripped or injected), EML-12 (certificate and name), EML-13 (TLS 1.2 or newer,
approved suites), EML-19 (REQUIRETLS). What OpenSSL 3 no longer has, export suites, has no row.
"""

from __future__ import annotations

import re
import shutil
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from reengage import relay
from reengage.embedded.certificates import Certificates
from reengage.embedded.processes import listens, wait_until
from reengage.errors import RelayError
from simulators import certificates as certs
from simulators.sender import CANARIES, TODAY, embedded, offer
from simulators.smtp import DROP, WEAK_SUITES, HostileRelay

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
NO_SUITE = "agree on no TLS ("


@dataclass(frozen=True)
class Row:
    """What the relay does, and what its operator is told."""

    told: str
    options: Mapping[str, Any] = field(default_factory=dict)
    certificates: Callable[[Path], Certificates] = certs.good
    requiretls: bool = False


def script(**stages: str) -> dict[str, Any]:
    return {"script": stages}


ROWS: dict[str, Row] = {
    # STARTTLS withheld, stripped, or promised and not done
    "hides STARTTLS": Row("offers no STARTTLS", {"extensions_before_tls": ()}),
    "answers STARTTLS with 454": Row(
        "answered with 454 instead of 220 at the STARTTLS", script(starttls="454 4.7.0 not now")
    ),
    "answers STARTTLS with 501": Row("answered with 501", script(starttls="501 5.5.4 what")),
    "answers 220 and goes on in clear": Row(NO_SUITE, {"tls": "plaintext"}),
    "speaks garbage for TLS": Row(NO_SUITE, {"tls": "garbage"}),
    "drops after STARTTLS": Row("hung up before", {"tls": "drop"}),
    "drops in the handshake": Row("hung up before", {"tls": "drop_in_handshake"}),
    # lines from someone who sits before TLS
    "injects with the greeting": Row(
        "sent octets ahead of the TLS handshake",
        {"injected": {"connect": b"250-localhost\r\n250 STARTTLS\r\n220 go ahead\r\n"}},
    ),
    "injects an answer to STARTTLS before it is said": Row(
        "sent octets ahead of the TLS handshake",
        {"injected": {"ehlo": b"220 go ahead\r\n250-localhost\r\n250 REQUIRETLS\r\n"}},
    ),
    "injects behind the 220": Row(
        "sent octets ahead of the TLS handshake",
        {"injected": {"starttls": b"250-localhost\r\n250 AUTH PLAIN\r\n"}},
    ),
    # TLS too old or too weak
    "speaks TLS 1.0 only": Row("speaks no TLS 1.2 or newer", {"tls": "1.0"}),
    "speaks TLS 1.1 only": Row("speaks no TLS 1.2 or newer", {"tls": "old"}),
    "knows an anonymous suite only": Row(NO_SUITE, {"tls": "anonymous"}),
    "knows a suite without encryption only": Row(NO_SUITE, {"tls": "null"}),
    "knows CBC only": Row(NO_SUITE, {"tls": "cbc"}),
    "knows ChaCha20 only": Row(NO_SUITE, {"tls": "chacha20"}),
    "knows no forward secrecy": Row(NO_SUITE, {"tls": "static_rsa"}, certs.good_rsa),
    # certificates
    "shows an expired certificate": Row("has expired; have its operator", {}, certs.expired),
    "shows one of tomorrow": Row("is not valid yet; check the clocks", {}, certs.not_yet_valid),
    "shows a self-signed one": Row("shows a self-signed certificate", {}, certs.self_signed),
    "shows one for another name": Row("a certificate for another name", {}, certs.wrong_name),
    "names itself in the subject only": Row("for another name", {}, certs.common_name_only),
    "shows one of an unknown authority": Row(
        "a certificate of an unknown authority", {}, certs.unknown_authority
    ),
    "shows one for clients": Row("is not for servers", {}, certs.for_clients_only),
    "shows an RSA-1024 key": Row("a key or signature that is too weak", {}, certs.weak_key),
    "shows an authority with RSA-1024": Row("is too weak", {}, certs.weak_authority),
    "shows one that is signed with SHA-1": Row("is too weak", {}, certs.sha1_signed),
    "shows one signed by no authority": Row(
        "signed by a certificate that is no authority's", {}, certs.not_an_authority
    ),
    "shows an expired intermediate": Row("has expired", {}, certs.expired_intermediate),
    # REQUIRETLS
    "offers REQUIRETLS before TLS only": Row(
        "does not offer REQUIRETLS",
        {"extensions_before_tls": ("STARTTLS", "REQUIRETLS")},
        requiretls=True,
    ),
    "offers no REQUIRETLS to a letter that needs it": Row(
        "does not offer REQUIRETLS", {"tls": "implicit"}, requiretls=True
    ),
    # what is hardly SMTP
    "does not want anyone": Row(
        "answered with 554 instead of 220 at the greeting", script(connect="554 5.3.2 no")
    ),
    "is about to go": Row("at the EHLO", script(ehlo="421 4.3.2 bye")),
    "hangs up at once": Row("hung up before", script(connect=DROP)),
    "is no SMTP server": Row("answered with no SMTP", script(connect="SSH-2.0-x")),
    "answers without end": Row("answers without end", script(ehlo="\r\n".join(["250-x"] * 20_000))),
    "refuses EHLO inside TLS": Row("at the EHLO inside TLS", script(ehlo_tls="550 no")),
}


@pytest.mark.parametrize("name", ROWS)
def test_nothing_of_a_letter_leaves_and_the_error_names_what_happened(
    name: str, tmp_path: Path
) -> None:
    """SEC-18, PRV-24; row by row EML-11 to EML-13 and EML-19."""
    row = ROWS[name]
    with HostileRelay(row.certificates(tmp_path), **row.options) as server:
        with pytest.raises(RelayError, match=re.escape(row.told)) as caught:
            offer(server, requiretls=row.requiretls)
        server.wait_until_left()
    told = str(caught.value)
    assert told.startswith("relay localhost")
    assert told.endswith("nothing was sent")
    assert caught.value.reached_data is False  # type: ignore[attr-defined]
    require_nothing_left(server)


def test_what_comes_unasked_with_the_greeting_ends_it_before_a_word_is_said(
    tmp_path: Path,
) -> None:
    injected = {"connect": b"250-localhost\r\n250 STARTTLS\r\n"}
    with HostileRelay(certs.good(tmp_path), injected=injected) as server:
        with pytest.raises(relay.RelayConnectError, match="ahead of the TLS handshake"):
            offer(server)
        server.wait_until_left()
    assert server.clear == b""


CERTIFICATE_ROWS = [name for name, row in ROWS.items() if row.certificates is not certs.good]


@pytest.mark.parametrize("name", [one for one in CERTIFICATE_ROWS if not ROWS[one].options])
def test_a_certificate_is_looked_at_where_tls_is_implicit_too(name: str, tmp_path: Path) -> None:
    """EML-12."""
    row = ROWS[name]
    with HostileRelay(row.certificates(tmp_path), tls="implicit") as server:
        with pytest.raises(relay.RelayConnectError, match=re.escape(row.told)):
            offer(server)
        server.wait_until_left()
    require_nothing_left(server)


LATER: dict[str, tuple[dict[str, Any], str]] = {
    "hides STARTTLS": ({"extensions_before_tls": ()}, "offers no STARTTLS"),
    "speaks TLS 1.1": ({"tls": "old"}, "speaks no TLS 1.2 or newer"),
    "injects": ({"injected": {"starttls": b"250 x\r\n"}}, "ahead of the TLS handshake"),
    "goes on in clear": ({"tls": "plaintext"}, NO_SUITE),
    "offers REQUIRETLS no more": ({"extensions": ()}, "does not offer REQUIRETLS"),
}


@pytest.mark.parametrize("name", LATER)
def test_a_relay_that_downgrades_on_reconnect_gets_no_second_letter(
    name: str, tmp_path: Path
) -> None:
    """EML-11, EML-19."""
    later, told = LATER[name]
    with HostileRelay(certs.good(tmp_path), extensions=("REQUIRETLS",), later=later) as server:
        assert offer(server, requiretls=True).kind == "sent"
        heard = len(server.commands)
        with pytest.raises(RelayError, match=re.escape(told)):
            offer(server, requiretls=True)
        server.wait_until_left()
        assert server.connections == 2
    assert len(server.letters) == 1
    assert not any("canary" in command.lower() for command in server.commands[heard:])
    require_nothing_in_clear(server)


def require_nothing_left(server: HostileRelay) -> None:
    """Neither in clear nor inside TLS; a relay was told EHLO, STARTTLS and QUIT at most."""
    assert server.letters == []
    assert {command.split(" ")[0].upper() for command in server.commands} <= {"EHLO", "QUIT"}
    assert not any("canary" in command.lower() for command in server.commands)
    require_nothing_in_clear(server)


def require_nothing_in_clear(server: HostileRelay) -> None:
    said = [line.split(b" ")[0] for line in bytes(server.clear).split(b"\r\n")]
    if server.tls not in ("garbage", "plaintext", "drop_in_handshake", "implicit"):
        assert {*said} <= {b"EHLO", b"STARTTLS", b"QUIT", b""} or server.later
    for secret in (*CANARIES, b"AUTH", b"MAIL FROM", b"RCPT TO", b"canary"):
        assert secret not in server.wire


# --- the rows are what they say ---


@pytest.mark.parametrize("kind", [*WEAK_SUITES, "old", "1.0"])
def test_the_weak_tls_of_a_row_is_real_a_lenient_client_takes_it(kind: str, tmp_path: Path) -> None:
    issued = certs.good_rsa if kind == "static_rsa" else certs.good
    with (
        HostileRelay(issued(tmp_path), tls=kind) as server,  # type: ignore[arg-type]
        smtplib.SMTP("localhost", server.port, timeout=10) as client,
    ):
        assert client.starttls(context=lenient())[0] == 220
        assert isinstance(client.sock, ssl.SSLSocket)
        cipher, _, _ = client.sock.cipher() or ("", "", 0)
        version = client.sock.version()
    assert version == {"old": "TLSv1.1", "1.0": "TLSv1"}.get(kind, "TLSv1.2")
    assert cipher == WEAK_SUITES.get(kind, cipher)


@pytest.mark.parametrize("name", CERTIFICATE_ROWS)
def test_the_certificate_of_a_row_is_real_a_lenient_client_takes_it(
    name: str, tmp_path: Path
) -> None:
    with (
        HostileRelay(ROWS[name].certificates(tmp_path)) as server,
        smtplib.SMTP("localhost", server.port, timeout=10) as client,
    ):
        assert client.starttls(context=lenient())[0] == 220
        assert client.ehlo()[0] == 250


@pytest.mark.parametrize("make", [certs.good, certs.good_rsa, certs.good_with_intermediate])
@pytest.mark.parametrize("tls", ["good", "1.2", "implicit"])
def test_what_is_as_it_should_be_is_taken(
    make: Callable[[Path], Certificates], tls: str, tmp_path: Path
) -> None:
    with HostileRelay(make(tmp_path), tls=tls) as server:  # type: ignore[arg-type]
        assert offer(server).kind == "sent"


def lenient() -> ssl.SSLContext:
    """A client that takes whatever it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:eNULL:aNULL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context


# --- TLS 1.3 suites, which Python's servers cannot choose: openssl's can ---


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize(
    ("suite", "told"),
    [
        ("TLS_CHACHA20_POLY1305_SHA256", "chose TLS_CHACHA20_POLY1305_SHA256, which SP 800-52r2"),
        ("TLS_AES_128_GCM_SHA256", "did not answer|hung up|no SMTP"),  # past TLS, no SMTP behind it
    ],
)
def test_a_suite_of_tls_1_3_that_is_not_approved_is_refused(
    suite: str, told: str, tmp_path: Path
) -> None:
    """EML-13."""
    files = certs.good(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", "-tls1_3"]
    command += ["-ciphersuites", suite, "-cert", str(files.cert), "-key", str(files.key)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), seconds=10, what="openssl s_server", every=0.05)
        url = relay.RelayUrl.parse(f"smtps://localhost:{port}")
        with pytest.raises(relay.RelayConnectError, match=told):
            relay.open_relay(embedded(), url, on=TODAY, trust=files.ca, timeout=0.5)
    finally:
        server.kill()
        server.communicate()
