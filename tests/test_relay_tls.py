"""The way to a relay: nothing of a letter in clear, ever, and errors that say what to do.

EML-11 (mandatory STARTTLS, stripped or injected), EML-12 (certificate and name), EML-13 (TLS 1.2 or
newer), SEC-18 (no octet of a letter outside TLS).
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from reengage import relay
from reengage.embedded.certificates import Certificates
from reengage.errors import ConfigurationError, RelayError
from simulators import certificates as certs
from simulators.sender import CANARY, LETTER, RECIPIENT, SENDER, connect, offer
from simulators.smtp import DROP, SILENCE, HostileRelay


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certs.good(tmp_path_factory.mktemp("certificates"))


NO_TLS = {
    "no STARTTLS is offered": ({"extensions_before_tls": ()}, "offers no STARTTLS"),
    "STARTTLS is answered with 454": (
        {"script": {"starttls": "454 4.7.0 not now"}},
        "answered with 454 instead of 220 at the STARTTLS",
    ),
    "a line is injected before TLS": (
        {"injected": b"250-localhost\r\n250 AUTH PLAIN\r\n"},
        "sent octets ahead of the TLS handshake",
    ),
    "the relay hangs up after STARTTLS": ({"tls": "drop"}, "hung up before"),
    "the relay speaks TLS 1.1 only": ({"tls": "old"}, "speaks no TLS 1.2 or newer"),
    "the relay knows only CBC in TLS 1.2": (
        {"tls": "cbc"},
        "agree on no TLS (",
    ),
    "the relay speaks garbage for TLS": ({"tls": "garbage"}, "agree on no TLS"),
    "the relay does not want anyone": (
        {"script": {"connect": "554 5.3.2 no"}},
        "answered with 554 instead of 220 at the greeting",
    ),
    "the relay is about to go": ({"script": {"ehlo": "421 4.3.2 bye"}}, "at the EHLO"),
    "the relay hangs up at once": ({"script": {"connect": DROP}}, "hung up before"),
    "what greets is no SMTP": ({"script": {"connect": "SSH-2.0-x"}}, "answered with no SMTP"),
    "EHLO is refused inside TLS": ({"script": {"ehlo_tls": "550 no"}}, "at the EHLO inside TLS"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("case", NO_TLS)
def test_without_tls_the_error_says_why_and_nothing_was_sent(case: str, good: Certificates) -> None:
    """PRV-24: no cleartext, whatever else is offered."""
    options, text = NO_TLS[case]
    with HostileRelay(good, **options) as server:  # type: ignore[arg-type]
        with pytest.raises(RelayError, match=re.escape(text)) as caught:
            offer(server)
        assert f"localhost:{server.port}" in str(caught.value)
        server.wait_until_left()
    assert str(caught.value).endswith("nothing was sent")
    assert caught.value.reached_data is False  # type: ignore[attr-defined]
    assert_nothing_in_clear(server)


CERTIFICATES = {
    certs.expired: "has expired; have its operator renew it",
    certs.not_yet_valid: "is not valid yet; check the clocks",
    certs.self_signed: "shows a self-signed certificate",
    certs.wrong_name: "a certificate for another name",
    certs.unknown_authority: "a certificate of an unknown authority",
}


@pytest.mark.parametrize("tls", ["good", "implicit"])
@pytest.mark.parametrize("make", CERTIFICATES, ids=lambda make: make.__name__)
def test_a_certificate_that_is_not_right_ends_the_conversation(
    make: Callable[[Path], Certificates], tls: str, tmp_path: Path
) -> None:
    with (
        HostileRelay(make(tmp_path), tls=tls) as server,  # type: ignore[arg-type]
        pytest.raises(relay.RelayConnectError, match=re.escape(CERTIFICATES[make])),
    ):
        offer(server)
    assert_nothing_in_clear(server)


def assert_nothing_in_clear(server: HostileRelay) -> None:
    """Outside TLS a client says EHLO and STARTTLS; nothing of a letter left in any other way."""
    said = [line.split(b" ")[0] for line in bytes(server.clear).split(b"\r\n")]
    if server.tls != "garbage":  # there the start of the handshake is among it
        assert set(said) <= {b"ehlo", b"STARTTLS", b"QUIT", b""} or server.tls == "implicit"
    for secret in (CANARY, RECIPIENT.encode(), b"AUTH", b"MAIL", b"RCPT"):
        assert secret not in server.wire
    assert server.letters == []


def test_a_letter_that_is_sent_is_nowhere_in_clear_on_the_wire(good: Certificates) -> None:
    with HostileRelay(good) as server:
        assert offer(server).kind == "sent"
    assert server.letters[0].content == LETTER
    assert CANARY not in server.wire
    assert RECIPIENT.encode() not in server.wire
    assert len(server.wire) > len(server.clear) + len(LETTER)


def test_what_was_offered_before_tls_is_forgotten(good: Certificates) -> None:
    before = ("STARTTLS", "DSN", "SIZE 99", "AUTH PLAIN")
    with HostileRelay(good, extensions=(), extensions_before_tls=before) as server:
        assert offer(server).kind == "sent"
    verbs = [command.split(" ")[0].upper() for command in server.commands]
    assert verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert f"MAIL FROM:<{SENDER}>" in server.commands
    assert f"RCPT TO:<{RECIPIENT}>" in server.commands


def test_tls_1_2_is_taken_with_an_authenticated_cipher_only(good: Certificates) -> None:
    with HostileRelay(good, tls="1.2") as server, connect(server) as connection:
        assert connection.evidence.tls_version == "TLSv1.2"
        assert "GCM" in connection.evidence.cipher


def test_nobody_listening_is_said_plainly(good: Certificates) -> None:
    with HostileRelay(good) as server:
        pass
    with pytest.raises(relay.RelayConnectError, match="refused the connection; check host"):
        offer(server)


def test_a_relay_that_does_not_greet_is_left_after_the_timeout(good: Certificates) -> None:
    with (
        HostileRelay(good, {"connect": SILENCE}) as server,
        pytest.raises(relay.RelayConnectError, match=r"did not answer within 0\.2 s"),
    ):
        offer(server, timeout=0.2)


def test_a_trust_file_that_is_none_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigurationError, match=rf"{name} .*REENGAGE_RELAY_TRUST"):
            relay.connect(relay.RelayUrl.parse("smtp://localhost:1"), trust=tmp_path / name)


def test_the_evidence_names_the_tls_and_the_certificate_seen(good: Certificates) -> None:
    with HostileRelay(good) as server, connect(server) as connection:
        evidence = connection.evidence
    der = ssl.PEM_cert_to_DER_cert(good.cert.read_text())
    assert evidence.host == "localhost"
    assert evidence.tls_version == "TLSv1.3"
    assert evidence.cipher.startswith("TLS_")
    assert evidence.peer_sha256 == hashlib.sha256(der).hexdigest()


def logged_in_url(server: HostileRelay, password: str) -> relay.RelayUrl:
    return relay.RelayUrl.parse(server.url.replace("://", f"://clinic:{password}@"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_log_in_goes_inside_tls_only(mechanism: str, good: Certificates) -> None:
    replies = ["235 2.7.0 in"] if mechanism == "PLAIN" else ["334 VXNlcg=="]
    with HostileRelay(good, {"auth": replies}, extensions=(f"AUTH {mechanism}",)) as server:
        url = logged_in_url(server, "pw%C3%A9")
        if mechanism == "PLAIN":
            relay.connect(url, trust=good.ca).close()
            assert "AUTH PLAIN AGNsaW5pYwBwd8Op" in server.commands
        else:  # the simulator knows no answer to the bare password
            with pytest.raises(relay.RelayConnectError, match="refused the log-in with 500"):
                relay.connect(url, trust=good.ca)
            assert server.commands[-2:] == ["AUTH LOGIN Y2xpbmlj", "cHfDqQ=="]
    assert b"AUTH" not in server.wire


def test_a_refused_log_in_says_so_without_the_password(good: Certificates) -> None:
    refusal = "535 5.7.8 wrong: hunter2"
    with (
        HostileRelay(good, {"auth": refusal}, extensions=("AUTH PLAIN",)) as server,
        pytest.raises(relay.RelayConnectError, match="refused the log-in with 535") as caught,
    ):
        relay.connect(logged_in_url(server, "hunter2"), trust=good.ca)
    assert "hunter2" not in str(caught.value)


def test_a_user_in_the_url_and_no_log_in_offered_is_an_error(good: Certificates) -> None:
    with (
        HostileRelay(good, extensions=("AUTH GSSAPI",)) as server,
        pytest.raises(relay.RelayConnectError, match="offers neither AUTH PLAIN nor"),
    ):
        relay.connect(logged_in_url(server, "hunter2"), trust=good.ca)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("smtp://relay.example.org", "smtp", "relay.example.org", 587),
        ("smtps://relay.example.org", "smtps", "relay.example.org", 465),
        ("smtp://relay.example.org:2525/", "smtp", "relay.example.org", 2525),
        ("smtps://[2001:db8::1]:465", "smtps", "2001:db8::1", 465),
    ],
)
def test_a_relay_url_has_a_scheme_a_host_and_a_port(
    url: str, scheme: str, host: str, port: int
) -> None:
    parsed = relay.RelayUrl.parse(url)
    assert (parsed.scheme, parsed.host, parsed.port) == (scheme, host, port)


def test_a_relay_url_shows_neither_user_nor_password() -> None:
    parsed = relay.RelayUrl.parse("smtp://clinic%40x:hunter%2F2@relay.example.org")
    assert (parsed.user, parsed.password) == ("clinic@x", "hunter/2")
    assert "hunter" not in f"{parsed!r} {parsed}"
    assert "clinic" not in f"{parsed!r} {parsed}"


@pytest.mark.parametrize(
    "url",
    [
        "smtp://u:hunter2@relay.example.org?tls=optional",
        "smtp://u:hunter2@relay.example.org?",
        "smtp://u:hunter2@relay.example.org#insecure",
        "smtp://u:hunter2@relay.example.org/path",
        "smtp://u:hunter2@relay.example.org:no",
        "smtp://u:hunter2@relay.example.org:0",
        "smtp://u:hunter2@relay.example.org:99999",
        "smtp://u:hunter2@[::1",
        "smtp://u:hunter2@",
        "smtp://u:hunter2@-x.example.org",
        "smtp://u@relay.example.org",
        "smtp://:hunter2@relay.example.org",
        "http://u:hunter2@relay.example.org",
        "smtp+insecure://u:hunter2@relay.example.org",
        "relay.example.org:25",
        "",
    ],
)
def test_any_other_relay_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write smtp://") as caught:
        relay.RelayUrl.parse(url)
    assert "hunter2" not in str(caught.value)
