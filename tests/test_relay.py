"""One letter over SMTP to a relay that misbehaves: the exact word on what became of it."""

from __future__ import annotations

import pytest
from reengage import relay
from reengage.embedded.certificates import Certificates
from simulators import certificates as certs
from simulators.sender import ENVID, LETTER, RECIPIENT, SENDER, connect, offer, send
from simulators.smtp import DROP, SILENCE, HostileRelay


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certs.good(tmp_path_factory.mktemp("certificates"))


OUTCOMES: dict[str, tuple[dict[str, str], str, str, int | None, str | None, int]] = {
    # script, kind, stage, code, enhanced code, letters that the relay has taken
    "all well": ({}, "sent", "dot", 250, "2.0.0", 1),
    "another 2xx after the dot": ({"reply": "252 2.0.0 ok"}, "sent", "dot", 252, "2.0.0", 1),
    "4xx at MAIL": ({"mail": "451 4.3.0 later"}, "deferred", "mail", 451, "4.3.0", 0),
    "5xx at MAIL": ({"mail": "550 5.7.1 no"}, "refused", "mail", 550, "5.7.1", 0),
    "4xx at RCPT": ({"rcpt": "450 4.2.1 greylisted"}, "deferred", "rcpt", 450, "4.2.1", 0),
    "5xx at RCPT": ({"rcpt": "550 5.1.1 unknown"}, "refused", "rcpt", 550, "5.1.1", 0),
    "5xx without enhanced code": ({"rcpt": "550 5.1 unknown"}, "refused", "rcpt", 550, None, 0),
    "4xx at DATA": ({"data": "451 4.3.0 later"}, "deferred", "data", 451, "4.3.0", 0),
    "5xx at DATA": ({"data": "554 5.5.1 no"}, "refused", "data", 554, "5.5.1", 0),
    "DATA answered with 250": ({"data": "250 fine"}, "deferred", "data", None, None, 0),
    "4xx after the dot": ({"dot": "451 4.3.0 later"}, "deferred", "dot", 451, "4.3.0", 0),
    "5xx after the dot": ({"dot": "554 5.6.0 spam"}, "refused", "dot", 554, "5.6.0", 0),
    "421 at MAIL": ({"mail": "421 4.3.2 bye"}, "deferred", "mail", 421, "4.3.2", 0),
    "421 at RCPT": ({"rcpt": "421 4.3.2 bye"}, "deferred", "rcpt", 421, "4.3.2", 0),
    "421 at DATA": ({"data": "421 4.3.2 bye"}, "deferred", "data", 421, "4.3.2", 0),
    "421 after the dot": ({"dot": "421 4.3.2 bye"}, "deferred", "dot", 421, "4.3.2", 0),
    "lost at MAIL": ({"mail": DROP}, "deferred", "mail", None, None, 0),
    "lost at RCPT": ({"rcpt": DROP}, "deferred", "rcpt", None, None, 0),
    "lost at DATA": ({"data": DROP}, "deferred", "data", None, None, 0),
    "lost after the dot, not taken": ({"dot": DROP}, "unknown", "dot", None, None, 0),
    "lost after the dot, taken": ({"reply": DROP}, "unknown", "dot", None, None, 1),
    "nonsense after the dot, taken": ({"reply": "yes"}, "unknown", "dot", None, None, 1),
    "3xx after the dot, taken": ({"reply": "354 ?"}, "unknown", "dot", None, None, 1),
    "an endless line after the dot": ({"reply": "2" * 9000}, "unknown", "dot", None, None, 1),
    "nonsense at MAIL": ({"mail": "yes"}, "deferred", "mail", None, None, 0),
    "silence at MAIL": ({"mail": SILENCE}, "deferred", "mail", None, None, 0),
    "silence at DATA": ({"data": SILENCE}, "deferred", "data", None, None, 0),
    "silence after the dot, taken": ({"reply": SILENCE}, "unknown", "dot", None, None, 1),
}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
@pytest.mark.parametrize("case", OUTCOMES)
def test_the_outcome_is_what_is_known_and_no_more(
    case: str, pipelining: bool, good: Certificates
) -> None:
    script, kind, stage, code, enhanced_code, taken = OUTCOMES[case]
    extensions = ("SIZE", "DSN", "PIPELINING") if pipelining else ()
    seconds = 0.2 if SILENCE in script.values() else 10.0
    with HostileRelay(good, script, extensions=extensions) as server:
        outcome = offer(server, timeout=seconds, patience=seconds)
    assert (outcome.kind, outcome.stage, outcome.code, outcome.enhanced_code) == (
        (kind, stage, code, enhanced_code)
    )
    assert len(server.letters) == taken


def test_lost_in_the_middle_of_the_letter_is_certainly_not_delivered(good: Certificates) -> None:
    # Larger than every buffer between the two ends, so that the dot cannot have left.
    letter = LETTER + b"line after line after line\r\n" * 1_000_000
    with HostileRelay(good, {"body": DROP}) as server:
        outcome = offer(server, letter)
    assert outcome == relay.Outcome("deferred", "data")
    assert outcome.reason == "connection_lost_at_data"


def test_waiting_for_the_last_word_takes_longer_than_any_other(good: Certificates) -> None:
    with HostileRelay(good) as server, connect(server, timeout=5.0, patience=60) as connection:
        seen: list[float | None] = []
        server.at("reply", lambda: seen.append(connection._smtp.sock.gettimeout()))  # type: ignore[union-attr]
        send(connection)
        assert connection._smtp.sock is not None
        assert seen == [60.0]
        assert connection._smtp.sock.gettimeout() == 5.0


@pytest.mark.parametrize(
    ("reply", "queue_id"),
    [
        ("250 2.0.0 Ok: queued as 4F1A2B3C", "4F1A2B3C"),
        ("250 Ok 0100018f-aa-000000", "0100018f-aa-000000"),
        ("250 OK id=1rAbCd-0001-Xy", "1rAbCd-0001-Xy"),
        ("250 2.0.0 Ok: queued as canary.recipient4@example.org", None),
        ("250 2.0.0 Ok: queued as canary", None),
        ("250 2.0.0 delivered to canary.recipient@example.org", None),
    ],
)
def test_of_the_relays_text_only_a_queue_id_is_kept(
    reply: str, queue_id: str | None, good: Certificates
) -> None:
    with HostileRelay(good, {"reply": reply}) as server:
        outcome = offer(server)
    assert outcome.queue_id == queue_id
    assert "canary" not in repr(outcome)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_a_refusal_that_quotes_the_address_leaves_no_trace_of_it(
    stage: str, good: Certificates
) -> None:
    with HostileRelay(good, {stage: f"550 5.1.1 <{RECIPIENT}> unknown"}) as server:
        outcome = offer(server)
    assert outcome.reason == f"{stage} 550 5.1.1"
    assert "canary" not in repr(outcome)


def test_the_mark_is_made_after_rcpt_and_before_data(good: Certificates) -> None:
    order: list[str] = []
    with HostileRelay(good) as server:
        for stage in ("rcpt", "data"):
            server.at(stage, lambda stage=stage: order.append(stage))  # type: ignore[misc]
        with connect(server) as connection:
            send(connection, on_attempt=lambda: order.append("mark"))
    assert order == ["rcpt", "mark", "data"]


def test_a_mark_that_fails_prevents_data_and_leaves_the_connection_for_the_next(
    good: Certificates,
) -> None:
    class LostError(Exception):
        pass

    def fail() -> None:
        raise LostError

    with HostileRelay(good) as server, connect(server) as connection:
        with pytest.raises(LostError):
            send(connection, on_attempt=fail)
        assert "DATA" not in [command.upper() for command in server.commands]
        assert connection.alive
        assert send(connection).kind == "sent"
    assert len(server.letters) == 1


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_letter_refused_before_data_is_not_marked(stage: str, good: Certificates) -> None:
    marks: list[int] = []
    with HostileRelay(good, {stage: "550 5.0.0 no"}) as server, connect(server) as connection:
        send(connection, on_attempt=lambda: marks.append(1))
    assert marks == []


def test_a_task_stopped_in_the_middle_of_a_letter_says_nothing_more(good: Certificates) -> None:
    class Stopped(BaseException):
        pass

    with HostileRelay(good) as server, connect(server) as connection:
        docmd = connection._smtp.docmd

        def stop_after_data(command: str, args: str = "") -> tuple[int, bytes]:
            docmd(command, args)
            raise Stopped

        connection._smtp.docmd = stop_after_data  # type: ignore[method-assign]
        with pytest.raises(Stopped):
            send(connection)
        assert not connection.alive
    assert server.commands[-1].upper() == "DATA"
    assert server.letters == []


@pytest.mark.parametrize(
    "extensions", [("PIPELINING", "SIZE"), ()], ids=["pipelining", "one by one"]
)
def test_many_letters_go_over_one_connection_with_rset_between_them(
    extensions: tuple[str, ...], good: Certificates
) -> None:
    letters = [LETTER + f"number {n}\r\n".encode() for n in range(200)]
    with HostileRelay(good, extensions=extensions) as server, connect(server) as connection:
        assert [send(connection, letter).kind for letter in letters] == ["sent"] * 200
        assert server.connections == 1
    assert [letter.content for letter in server.letters] == letters
    assert server.commands.count("RSET") == 199


def test_a_refused_letter_does_not_harm_the_one_after_it(good: Certificates) -> None:
    script = {"rcpt": ["550 5.1.1 no", "250 ok"], "dot": ["554 5.6.0 no", ""]}
    with HostileRelay(good, script) as server, connect(server) as connection:
        kinds = [send(connection, recipient=f"p{n}@example.org").kind for n in range(3)]
    assert kinds == ["refused", "refused", "sent"]
    assert [letter.rcpt.split(" ")[1] for letter in server.letters] == ["TO:<p2@example.org>"]


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle for too long", DROP])
def test_a_relay_that_hung_up_between_letters_is_noticed(farewell: str, good: Certificates) -> None:
    with HostileRelay(good, {"rset": farewell}) as server, connect(server) as connection:
        assert connection.alive
        assert send(connection).kind == "sent"
        assert connection.alive
        assert send(connection) == relay.Outcome("deferred", "rset")
        assert not connection.alive
        assert send(connection).kind == "deferred"
    assert len(server.letters) == 1


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_a_421_ends_the_connection_even_if_the_relay_does_not(
    stage: str, good: Certificates
) -> None:
    with HostileRelay(good, {stage: "421 4.3.2 bye"}) as server, connect(server) as connection:
        assert send(connection).kind == "deferred"
        assert not connection.alive
        server.wait_until_left()


def test_alive_notices_a_closed_connection_before_a_letter_is_offered(good: Certificates) -> None:
    with HostileRelay(good) as server:
        connection = connect(server)
        assert connection.alive
    assert not connection.alive
    connection.close()


def test_a_bounce_is_asked_not_to_return_the_letter(good: Certificates) -> None:
    """EML-08: RET=HDRS, NOTIFY=FAILURE,DELAY and an opaque ENVID."""
    with HostileRelay(good) as server:
        offer(server)
    assert f"MAIL FROM:<{SENDER}> SIZE={len(LETTER)} RET=HDRS ENVID={ENVID}" in server.commands
    assert f"RCPT TO:<{RECIPIENT}> NOTIFY=FAILURE,DELAY" in server.commands


@pytest.mark.parametrize("envid", ["", "a b", "a@b", "a\r\nRSET", "x" * 101])
def test_an_envid_that_is_not_opaque_is_a_programming_error(envid: str, good: Certificates) -> None:
    with (
        HostileRelay(good) as server,
        connect(server) as connection,
        pytest.raises(ValueError, match="opaque token"),
    ):
        connection.send(SENDER, RECIPIENT, LETTER, envid=envid, on_attempt=lambda: None)


def test_octets_beyond_ascii_are_announced_or_the_letter_is_refused(good: Certificates) -> None:
    letter = LETTER + "año\r\n".encode()
    with HostileRelay(good) as server:
        assert offer(server, letter).kind == "sent"
    assert server.letters[0].mail.split(" ")[3:4] == ["BODY=8BITMIME"]
    with HostileRelay(good, extensions=()) as server:
        assert offer(server, letter) == relay.Outcome("refused", "mail", None, "5.6.3")
    assert server.letters == []


UNUSUAL = [
    "o'brien+re=engage@example.org", "a@b.co", "!#$%&'*+-/=?^_`{|}~@example.org",
    '"john doe"@example.org', '"quoted\\"mark>"@example.org', "someone@[192.0.2.1]",
    "someone@[IPv6:2001:db8::1]", "x" * 64 + "@" + "y" * 60 + ".example.org",
    "someone@xn--bcher-kva.example",
]  # fmt: skip


@pytest.mark.parametrize("address", UNUSUAL)
def test_an_unusual_address_is_said_as_it_is(address: str, good: Certificates) -> None:
    with HostileRelay(good, extensions=()) as server, connect(server) as connection:
        assert send(connection, recipient=address).kind == "sent"
    assert server.letters[0].rcpt == f"RCPT TO:<{address}>"


HOSTILE = [
    "a@example.org\r\nRCPT TO:<b@example.org", "a@example.org\n", "a@example.org> NOTIFY=NEVER <",
    "a b@example.org", "canary", "", "canary@example.org\0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "code"), [(one, "5.1.3") for one in HOSTILE] + [("josé@example.org", "5.6.7")]
)
def test_an_address_that_could_say_more_than_an_address_is_refused_unsaid(
    address: str, code: str, good: Certificates
) -> None:
    with HostileRelay(good) as server, connect(server) as connection:
        outcome = send(connection, recipient=address)
        assert outcome == relay.Outcome("refused", "rcpt", None, code)
        assert outcome.reason == f"rcpt {code}"
        assert connection.alive
    assert [command.split(" ")[0].upper() for command in server.commands] == ["EHLO", "QUIT"]


def test_dots_and_long_lines_arrive_octet_for_octet(good: Certificates) -> None:
    letter = (
        b".first: x\r\n"
        + LETTER
        + b"\r\n".join(
            [b".", b"..", b".leading", b"x" * 998, b"." * 998, b"", b".", b"\t.", b"end.", b""]
        )
    )
    with HostileRelay(good) as server:
        assert offer(server, letter).kind == "sent"
    assert server.letters[0].content == letter


def test_no_line_end_in_a_letter_can_smuggle_in_a_second_one(good: Certificates) -> None:
    hostile = LETTER + b"a\n.\nb\r.\rc\n.\r\nMAIL FROM:<x@example.org>\r\nlast"
    with HostileRelay(good) as server:
        assert offer(server, hostile).kind == "sent"
    tail = b"a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nMAIL FROM:<x@example.org>\r\nlast\r\n"
    assert [letter.content for letter in server.letters] == [LETTER + tail]
