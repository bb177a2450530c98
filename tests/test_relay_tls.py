"""The way to a relay when all goes well, its log-in and its URL. What goes badly: hostile relay.

EML-11 (STARTTLS is mandatory), EML-12 (certificate and name), EML-13 (TLS 1.2 or newer, approved
suites), SEC-18 (no octet of a letter outside TLS).
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from reengage import relay, relay_tls
from reengage.embedded.certificates import Certificates
from reengage.errors import ConfigurationError
from simulators import certificates as certs
from simulators.sender import (
    CANARIES,
    LETTER,
    RECIPIENT,
    SENDER,
    TODAY,
    connect,
    embedded,
    offer,
)
from simulators.smtp import SILENCE, HostileRelay


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certs.good(tmp_path_factory.mktemp("certificates"))


def test_a_letter_that_is_sent_is_nowhere_in_clear_on_the_wire(good: Certificates) -> None:
    with HostileRelay(good) as server:
        assert offer(server).kind == "sent"
    assert server.letters[0].content == LETTER
    assert not any(secret in server.wire for secret in CANARIES)
    assert len(server.wire) > len(server.clear) + len(LETTER)


@pytest.mark.parametrize("tls", ["good", "1.2"])
def test_no_variable_of_the_environment_lets_the_session_keys_out(
    tls: str, good: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-18: with SSLKEYLOGFILE the standard context writes down what opens every conversation."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with HostileRelay(good, tls=tls) as server:  # type: ignore[arg-type]
        assert offer(server).kind == "sent"
    assert not (tmp_path / "keys").exists()


def test_no_suite_is_offered_but_those_that_the_guideline_approves() -> None:
    """EML-13: SP 800-52r2 sections 3.3.1.1 and 3.3.1.2; of TLS 1.3 Python cannot take one away."""
    context = relay_tls._context(None)
    offered = {suite["name"] for suite in context.get_ciphers()}
    assert offered - {"TLS_CHACHA20_POLY1305_SHA256"} == {
        "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256",
    }  # fmt: skip
    assert context.security_level == 2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


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
            opened(relay.RelayUrl.parse("smtp://localhost:1"), tmp_path / name)


def test_a_trust_file_is_read_once_and_anew_when_it_has_changed(
    good: Certificates, tmp_path: Path
) -> None:
    trust = tmp_path / "trust.pem"
    trust.write_bytes(certs.good(tmp_path / "another").ca.read_bytes())
    with HostileRelay(good) as server:
        url = relay.RelayUrl.parse(server.url)
        with pytest.raises(relay.RelayConnectError, match="unknown authority"):
            opened(url, trust)
        assert relay_tls._context_of(trust) is relay_tls._context_of(trust)
        (tmp_path / "new.pem").write_bytes(good.ca.read_bytes())
        (tmp_path / "new.pem").replace(trust)
        opened(url, trust).close()


def test_the_evidence_names_the_tls_and_the_certificate_seen(good: Certificates) -> None:
    with HostileRelay(good) as server, connect(server) as connection:
        evidence = connection.evidence
    der = ssl.PEM_cert_to_DER_cert(good.cert.read_text())
    assert evidence.host == "localhost"
    assert evidence.tls_version == "TLSv1.3"
    assert evidence.cipher.startswith("TLS_")
    assert evidence.peer_sha256 == hashlib.sha256(der).hexdigest()


def opened(url: relay.RelayUrl, trust: Path) -> relay.RelayConnection:
    return relay.open_relay(embedded(), url, on=TODAY, trust=trust)


def logged_in_url(server: HostileRelay, password: str) -> relay.RelayUrl:
    return relay.RelayUrl.parse(server.url.replace("://", f"://clinic:{password}@"))


@pytest.mark.parametrize(
    ("offered", "mechanism"),
    [(("AUTH PLAIN",), "PLAIN"), (("AUTH LOGIN",), "LOGIN"), (("AUTH=LOGIN",), "LOGIN"),
     (("AUTH=LOGIN", "AUTH GSSAPI PLAIN"), "PLAIN")],
)  # fmt: skip
def test_the_log_in_goes_inside_tls_only(
    offered: tuple[str, ...], mechanism: str, good: Certificates
) -> None:
    replies = ["235 2.7.0 in"] if mechanism == "PLAIN" else ["334 VXNlcg=="]
    with HostileRelay(good, {"auth": replies}, extensions=offered) as server:
        url = logged_in_url(server, "pw%C3%A9")
        if mechanism == "PLAIN":
            opened(url, good.ca).close()
            assert "AUTH PLAIN AGNsaW5pYwBwd8Op" in server.commands
        else:  # the simulator knows no answer to the bare password
            with pytest.raises(relay.RelayConnectError, match="refused the log-in with 500"):
                opened(url, good.ca)
            assert server.commands[-2:] == ["AUTH LOGIN Y2xpbmlj", "cHfDqQ=="]
    assert b"AUTH" not in server.wire


def test_a_refused_log_in_says_so_without_the_password(good: Certificates) -> None:
    refusal = "535 5.7.8 wrong: hunter2"
    with (
        HostileRelay(good, {"auth": refusal}, extensions=("AUTH PLAIN",)) as server,
        pytest.raises(relay.RelayConnectError, match="refused the log-in with 535") as caught,
    ):
        opened(logged_in_url(server, "hunter2"), good.ca)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "421 4.3.2 too busy"])
def test_a_log_in_that_is_put_off_is_one_for_later(reply: str, good: Certificates) -> None:
    """RFC 4954 section 6: a temporary failure of the log-in is none of user or password."""
    with (
        HostileRelay(good, {"auth": reply}, extensions=("AUTH PLAIN",)) as server,
        pytest.raises(relay.RelayBusyError, match=f"refused the log-in with {reply[:3]}; try"),
    ):
        opened(logged_in_url(server, "hunter2"), good.ca)


def test_each_step_may_take_as_long_as_the_standard_asks(good: Certificates) -> None:
    """RFC 5321 section 4.5.3.2: 300 s for greeting, MAIL and RCPT."""
    waits: dict[str, float | None] = {}
    with HostileRelay(good) as server:
        line = opened(relay.RelayUrl.parse(server.url), good.ca)
        sock = line._wire._sock
        assert sock is not None
        for stage in ("mail", "rcpt"):
            server.at(stage, lambda stage=stage: waits.update({stage: sock.gettimeout()}))
        line.send("a@example.org", "b@example.org", b"A: b\r\n\r\nc\r\n", envid="e",
                  on_attempt=lambda: None)  # fmt: skip
        line.close()
    assert waits == {"mail": 300, "rcpt": 300}


def test_a_user_in_the_url_and_no_log_in_offered_is_an_error(good: Certificates) -> None:
    with (
        HostileRelay(good, extensions=("AUTH GSSAPI",)) as server,
        pytest.raises(relay.RelayConnectError, match="offers neither AUTH PLAIN nor"),
    ):
        opened(logged_in_url(server, "hunter2"), good.ca)


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
