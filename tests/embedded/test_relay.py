"""The embedded relay as a process: what it took is on disk, and its log knows no address."""

from __future__ import annotations

import mailbox
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from reengage import relay
from reengage.embedded.processes import ProcessError
from reengage.embedded.relay import MAX_BYTES, RelayProcess
from simulators.sender import TODAY, embedded

SENDER = "clinic@example.org"
LETTER = b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\ncanary-body\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with _relay(tmp_path_factory.mktemp("relay")) as process:
        yield process


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@contextmanager
def _relay(home: Path) -> Iterator[RelayProcess]:
    with RelayProcess(home / "mail", home / "certificates", home / "log" / "relay.log") as process:
        yield process


def connect(process: RelayProcess) -> relay.RelayConnection:
    url = relay.RelayUrl.parse(process.url)
    return relay.open_relay(embedded(), url, on=TODAY, trust=process.ca, timeout=10.0)


def send(
    connection: relay.RelayConnection, letter: bytes = LETTER, recipient: str = "p@example.org"
) -> relay.Outcome:
    return connection.send(SENDER, recipient, letter, envid="e1", on_attempt=lambda: None)


def delivered(maildir: Path) -> list[bytes]:
    assert list((maildir / "tmp").iterdir()) == []
    return [path.read_bytes() for path in sorted((maildir / "new").iterdir())]


def test_a_letter_lies_in_the_maildir_below_its_envelope_octet_for_octet(tmp_path: Path) -> None:
    letter = LETTER + b".\r\n..\r\n.x\r\n" + b"." * 998 + b"\r\n" + b"y" * 998 + b"\r\n\r\n"
    with _relay(tmp_path) as process, connect(process) as connection:
        outcome = send(connection, letter, "o'brien+x@example.org")
        assert (outcome.kind, outcome.enhanced_code) == ("sent", "2.0.0")
        [file] = (tmp_path / "mail" / "new").iterdir()
    assert outcome.queue_id is not None
    assert outcome.queue_id in file.name
    head = f"Return-Path: <{SENDER}>\r\nDelivered-To: o'brien+x@example.org\r\n"
    assert file.read_bytes() == head.encode() + letter


def test_the_standard_librarys_maildir_reads_what_was_delivered(tmp_path: Path) -> None:
    with _relay(tmp_path) as process, connect(process) as connection:
        send(connection)
    [message] = mailbox.Maildir(tmp_path / "mail", create=False)
    assert message["Message-ID"] == "<1@example.org>"
    assert message["Delivered-To"] == "p@example.org"


def test_a_thousand_letters_over_four_connections_all_arrive_once(tmp_path: Path) -> None:
    def send_some(process: RelayProcess, sender: int) -> list[str]:
        with connect(process) as connection:
            return [
                send(connection, LETTER + f"{sender}-{number}\r\n".encode()).kind
                for number in range(250)
            ]

    with _relay(tmp_path) as process, ThreadPoolExecutor(4) as threads:
        kinds = list(threads.map(lambda sender: send_some(process, sender), range(4)))
    assert kinds == [["sent"] * 250] * 4
    found = {content.splitlines()[-1] for content in delivered(tmp_path / "mail")}
    assert found == {f"{sender}-{n}".encode() for sender in range(4) for n in range(250)}


def test_no_address_and_no_line_of_a_letter_is_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log" / "relay.log"
    with _relay(tmp_path) as process:
        with connect(process) as connection:
            send(connection, recipient="canary.recipient@example.org")
            send(connection, LETTER + b"canary " * 200, "canary.recipient@example.org")
        context = ssl.create_default_context(cafile=str(process.ca))
        with smtplib.SMTP("localhost", process.port, timeout=10) as client:  # faults of all kinds
            client.starttls(context=context)
            assert client.docmd("canary.recipient@example.org")[0] == 500
            assert client.docmd("MAIL", "FROM:<canary@example.org> CANARY=1")[0] >= 500
        _break_the_maildir(tmp_path / "mail")
        with connect(process) as connection:
            outcome = send(connection, recipient="canary.recipient@example.org")
    assert (outcome.kind, outcome.code) == ("deferred", 451)
    assert "canary" not in log.read_text().lower()
    [line] = log.read_text().splitlines()
    assert line.endswith(" ERROR a connection met with FileNotFoundError")


def _break_the_maildir(maildir: Path) -> None:
    (maildir / "tmp").rmdir()


def test_without_tls_nothing_can_be_sent(running: RelayProcess) -> None:
    with smtplib.SMTP("localhost", running.port, timeout=10) as plain:
        plain.ehlo()
        assert plain.has_extn("starttls")
        assert plain.mail(SENDER)[0] == 530


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_older_than_1_2_is_refused(running: RelayProcess, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(running.ca))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
    with smtplib.SMTP("localhost", running.port, timeout=10) as plain:
        plain.ehlo()
        with pytest.raises(ssl.SSLError):
            plain.starttls(context=context)
        plain.close()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the same client, one version later
    with smtplib.SMTP("localhost", running.port, timeout=10) as client:
        assert client.starttls(context=context)[0] == 220


def test_only_what_works_is_offered(running: RelayProcess) -> None:
    with smtplib.SMTP("localhost", running.port, timeout=10) as client:
        client.starttls(context=ssl.create_default_context(cafile=str(running.ca)))
        client.ehlo()
        assert set(client.esmtp_features) == {
            "size", "8bitmime", "pipelining", "enhancedstatuscodes", "help",
        }  # fmt: skip


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_certificate_holds_under_the_strict_rules_of_later_pythons(
    running: RelayProcess, host: str
) -> None:
    context = ssl.create_default_context(cafile=str(running.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    with smtplib.SMTP("127.0.0.1", running.port, timeout=10) as client:
        client._host = host
        client.starttls(context=context)
        assert client.ehlo()[0] == 250


def test_a_letter_that_is_too_big_or_has_a_line_too_long_is_refused(
    running: RelayProcess,
) -> None:
    with connect(running) as connection:
        big = send(connection, LETTER + b"x\r\n" * (MAX_BYTES // 3))
        assert (big.kind, big.stage, big.enhanced_code) == ("refused", "mail", "5.3.4")
        long = send(connection, LETTER + b"x" * 1000 + b"\r\n")
        assert (long.kind, long.stage, long.code) == ("refused", "dot", 500)
        assert send(connection).kind == "sent"


def test_it_listens_on_the_loopback_only(running: RelayProcess) -> None:
    with socket.socket() as elsewhere:
        elsewhere.settimeout(5)
        assert elsewhere.connect_ex(("127.0.0.2", running.port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_told_to_even_with_a_client_connected(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = RelayProcess(tmp_path / "mail", tmp_path / "certificates", tmp_path / "relay.log")
    process.start()
    try:
        connection = connect(process)
        child = process._child
        assert child is not None
        child.send_signal(number)
        assert child.wait(10) == 0
        assert not connection.alive
    finally:
        process.stop()
    assert (tmp_path / "relay.log").read_text() == ""


def test_it_ends_with_the_process_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from reengage.embedded.relay import RelayProcess\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "relay = RelayProcess(home / 'mail', home / 'certificates', home / 'log'); relay.start()\n"
        "print(relay._child.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    starter = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    assert _gone(int(starter.stdout))


def _gone(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return True
    try:
        process.wait(10)
    except psutil.TimeoutExpired:
        process.kill()
        return False
    return True


def test_a_relay_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the Maildir should be")
    process = RelayProcess(tmp_path / "mail", tmp_path / "certificates", tmp_path / "relay.log")
    with pytest.raises(ProcessError, match=r"did not start; its log is .*relay\.log"):
        process.start()
    assert process._child is None
