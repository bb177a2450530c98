"""One letter over SMTP to a relay that misbehaves: the exact word on what became of it.

In each of the ways in which a letter can go: DATA, one by one or in a group, and BDAT.
"""

from __future__ import annotations

import pytest
from reengage import relay
from reengage.embedded.certificates import Certificates
from reengage.embedded.processes import wait_until
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


WAYS = {
    "one by one": (),
    "in a group": ("SIZE", "DSN", "PIPELINING"),
    "BDAT, one by one": ("CHUNKING",),
    "BDAT, all at once": ("SIZE", "DSN", "PIPELINING", "CHUNKING"),
}
# With BDAT all at once the content has left when MAIL and RCPT are answered.
LEFT_BEFORE = {
    "lost at MAIL", "lost at RCPT", "nonsense at MAIL", "silence at MAIL",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", OUTCOMES)
def test_the_outcome_is_what_is_known_and_no_more(case: str, way: str, good: Certificates) -> None:
    script, kind, stage, code, enhanced_code, taken = OUTCOMES[case]
    if "BDAT" in way and "data" in script:
        pytest.skip("no DATA is said")
    if way == "BDAT, all at once" and case in LEFT_BEFORE:
        kind, stage = "unknown", "dot"
    seconds = 0.2 if SILENCE in script.values() else 10.0
    with HostileRelay(good, script, extensions=WAYS[way]) as server:
        outcome = offer(server, timeout=seconds, patience=seconds)
    assert (outcome.kind, outcome.stage, outcome.code, outcome.enhanced_code) == (
        (kind, stage, code, enhanced_code)
    )
    assert len(server.letters) == taken


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("stage", "no", "kind"),
    [("mail", "451 4.3.0 later", "deferred"), ("rcpt", "550 5.1.1 no", "refused"),
     ("rcpt", "450 4.2.1 busy", "deferred")],
)  # fmt: skip
@pytest.mark.parametrize("then", ["", DROP, "yes", "421 4.3.2 bye", "354 go ahead"])
def test_whatever_follows_a_refusal_of_the_recipient_the_letter_has_nobody_to_go_to(
    then: str, stage: str, no: str, kind: str, way: str, good: Certificates
) -> None:
    script = {stage: no} | ({"nobody": then} if then else {})
    with (
        HostileRelay(good, script, extensions=WAYS[way]) as server,
        connect(server) as connection,
    ):
        outcome = send(connection)
        ended_empty = (way, stage, then[:3]) == ("in a group", "rcpt", "354")
        assert connection.alive is (not then or "one by one" in way or ended_empty)
    assert (outcome.kind, outcome.stage, outcome.code) == (kind, stage, int(no[:3]))
    assert server.letters == []


def test_of_a_letter_for_nobody_that_the_relay_wants_to_have_not_an_octet_leaves(
    good: Certificates,
) -> None:
    """RFC 2920 section 3.1: it is ended empty, and the next one goes."""
    script = {"rcpt": ["550 5.1.1 no", "250 ok"], "nobody": "354 go ahead"}
    with HostileRelay(good, script) as server, connect(server) as connection:
        sizes: list[int] = []
        server.at("nothing", lambda: sizes.append(len(server.wire)))
        assert send(connection, LETTER + b"x" * 50_000 + b"\r\n").kind == "refused"
        assert connection.alive
        assert send(connection).kind == "sent"
    assert sizes[0] < 10_000
    assert [letter.content for letter in server.letters] == [LETTER]


@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_relay_that_refuses_the_recipient_and_takes_the_letter_makes_no_sense(
    stage: str, good: Certificates
) -> None:
    script = {stage: "450 4.2.1 busy", "nobody": "250 2.0.0 ok"}
    extensions = WAYS["BDAT, all at once"]
    with (
        HostileRelay(good, script, extensions=extensions) as server,
        connect(server) as connection,
    ):
        outcome = send(connection)
        assert not connection.alive
    assert (outcome.kind, outcome.stage) == ("unknown", "dot")


@pytest.mark.parametrize("way", WAYS)
def test_lost_in_the_middle_of_the_letter_is_certainly_not_delivered(
    way: str, good: Certificates
) -> None:
    # Larger than every buffer between the two ends, so that the end cannot have left.
    letter = LETTER + b"line after line after line\r\n" * 1_000_000
    with HostileRelay(good, {"body": DROP}, extensions=WAYS[way]) as server:
        outcome = offer(server, letter)
    assert outcome == relay.Outcome("deferred", "data")
    assert outcome.reason == "connection_lost_at_data"


def test_waiting_for_the_last_word_takes_longer_than_any_other(good: Certificates) -> None:
    with HostileRelay(good) as server, connect(server, timeout=5.0, patience=60) as connection:
        patient: list[bool] = []

        def is_patient() -> bool:
            return connection._wire._sock.gettimeout() == 60.0  # type: ignore[union-attr]

        def wait_for_patience() -> None:
            wait_until(is_patient, seconds=10, what="the client's patience", every=0.001)
            patient.append(True)

        server.at("mail", lambda: patient.append(is_patient()))
        server.at("reply", wait_for_patience)
        assert [send(connection).kind for _ in range(2)] == ["sent"] * 2
        assert patient == [False, True] * 2


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


ORDER = {
    "one by one": ["mail", "rcpt", "data", "mark", "body"],
    "in a group": ["mail", "rcpt", "data", "mark", "body"],
    "BDAT, one by one": ["mail", "rcpt", "mark", "body"],
    "BDAT, all at once": ["mark", "mail", "rcpt", "body"],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_mark_is_made_once_and_as_late_as_no_content_has_left(
    way: str, good: Certificates
) -> None:
    order: list[str] = []
    with HostileRelay(good, extensions=WAYS[way]) as server:
        for stage in ("mail", "rcpt", "data", "body"):
            server.at(stage, lambda stage=stage: order.append(stage))  # type: ignore[misc]
        with connect(server) as connection:
            send(connection, on_attempt=lambda: order.append("mark"))
    assert order == ORDER[way]


@pytest.mark.parametrize("way", WAYS)
def test_a_mark_that_fails_keeps_all_content_here_and_ends_the_connection(
    way: str, good: Certificates
) -> None:
    class LostError(Exception):
        pass

    def fail() -> None:
        raise LostError

    with HostileRelay(good, extensions=WAYS[way]) as server, connect(server) as connection:
        bodies: list[int] = []
        server.at("body", lambda: bodies.append(1))
        with pytest.raises(LostError):
            send(connection, on_attempt=fail)
        assert not connection.alive
        server.wait_until_left()
    assert (bodies, server.letters) == ([], [])
    assert "QUIT" not in server.commands


@pytest.mark.parametrize("way", [way for way in WAYS if way != "BDAT, all at once"])
@pytest.mark.parametrize("stage", ["mail", "rcpt"])
def test_a_letter_refused_before_its_content_is_not_marked(
    stage: str, way: str, good: Certificates
) -> None:
    marks: list[int] = []
    with (
        HostileRelay(good, {stage: "550 5.0.0 no"}, extensions=WAYS[way]) as server,
        connect(server) as connection,
    ):
        send(connection, on_attempt=lambda: marks.append(1))
    assert marks == []


def test_a_task_stopped_in_the_middle_of_a_letter_says_nothing_more(good: Certificates) -> None:
    class Stopped(BaseException):
        pass

    def stop() -> None:
        raise Stopped

    with HostileRelay(good) as server, connect(server) as connection:
        with pytest.raises(Stopped):
            send(connection, on_attempt=stop)
        assert not connection.alive
    assert server.commands[-1].upper() == "DATA"
    assert server.letters == []


TURNS = {"one by one": 4, "in a group": 2, "BDAT, one by one": 3, "BDAT, all at once": 1}


def test_letters_one_after_the_other_go_over_one_connection_in_as_few_turns_as_it_allows(
    good: Certificates,
) -> None:
    letters = [LETTER + f"number {n}\r\n".encode() for n in range(90)]
    for way, extensions in WAYS.items():
        with (
            HostileRelay(good, extensions=extensions) as server,
            connect(server) as connection,
        ):
            said: list[bytes] = []
            _note_what_is_said(connection, said)
            assert [send(connection, letter).kind for letter in letters] == ["sent"] * 90
            turns = len(said)
            assert server.connections == 1
        assert [letter.content for letter in server.letters] == letters
        assert server.commands.count("RSET") == 0
        assert turns == 90 * TURNS[way]


def _note_what_is_said(connection: relay.RelayConnection, said: list[bytes]) -> None:
    say = connection._wire.say

    def noted(octets: bytes) -> None:
        said.append(octets)
        say(octets)

    connection._wire.say = noted  # type: ignore[method-assign]


@pytest.mark.parametrize("way", WAYS)
def test_after_a_letter_that_did_not_go_the_relay_is_asked_to_forget_it(
    way: str, good: Certificates
) -> None:
    """RFC 3030 section 2: the state after a refused BDAT is anyone's guess."""
    script = {"dot": ["554 5.6.0 no", ""]}
    with (
        HostileRelay(good, script, extensions=WAYS[way]) as server,
        connect(server) as connection,
    ):
        kinds = [send(connection).kind for _ in range(3)]
    assert kinds == ["refused", "sent", "sent"]
    assert server.commands.count("RSET") == 1


@pytest.mark.parametrize(
    ("announced", "ours"),
    [((), 3), (("LIMITS RCPTMAX=1 MAILMAX=3",), None), (("LIMITS mailmax=3",), 50),
     (("LIMITS MAILMAX=3", "CHUNKING", "PIPELINING"), 1000), (("LIMITS MAILMAX=50",), 3)],
)  # fmt: skip
def test_a_connection_takes_as_many_letters_as_it_may_and_says_goodbye(
    announced: tuple[str, ...], ours: int | None, good: Certificates
) -> None:
    """Our own limit, and what the relay says of its own (RFC 9422)."""
    with HostileRelay(good, extensions=announced) as server:
        connection = connect(server, max_letters=ours)
        assert [(send(connection).kind, connection.alive) for _ in range(3)] == [
            ("sent", True), ("sent", True), ("sent", False),
        ]  # fmt: skip
        server.wait_until_left()
    assert server.commands[-1] == "QUIT"


def test_a_connection_that_was_silent_for_long_is_asked_before_a_letter_is_put_at_risk(
    good: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileRelay(good, {"rset": ["250 ok", DROP]}) as server, connect(server) as connection:
        send(connection)
        assert connection.alive
        assert "RSET" not in server.commands
        monkeypatch.setattr(relay, "IDLE_SECONDS", -1.0)
        assert connection.alive
        assert not connection.alive
    assert server.commands.count("RSET") == 2


def test_a_refused_letter_does_not_harm_the_one_after_it(good: Certificates) -> None:
    script = {"rcpt": ["550 5.1.1 no", "250 ok"], "dot": ["554 5.6.0 no", ""]}
    with HostileRelay(good, script) as server, connect(server) as connection:
        kinds = [send(connection, recipient=f"p{n}@example.org").kind for n in range(3)]
    assert kinds == ["refused", "refused", "sent"]
    assert [letter.rcpt.split(" ")[1] for letter in server.letters] == ["TO:<p2@example.org>"]


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle for too long", DROP])
def test_a_relay_that_hung_up_between_letters_is_noticed(farewell: str, good: Certificates) -> None:
    script = {"mail": ["250 ok", farewell]}
    with HostileRelay(good, script) as server, connect(server) as connection:
        assert connection.alive
        assert send(connection).kind == "sent"
        assert connection.alive
        outcome = send(connection)
        assert (outcome.kind, outcome.stage) == ("deferred", "mail")
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


INTERNATIONAL = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING")


@pytest.mark.parametrize("address", ["josé@example.org", "用户@例子.广告", '"jo sé"@example.org'])
def test_an_address_beyond_ascii_goes_where_it_is_offered_and_is_refused_elsewhere(
    address: str, good: Certificates
) -> None:
    """RFC 6531: SMTPUTF8 is said with MAIL, and the address as it is."""
    with HostileRelay(good, extensions=INTERNATIONAL) as server, connect(server) as connection:
        assert send(connection, recipient=address).kind == "sent"
        assert send(connection).kind == "sent"
    assert [letter.mail.endswith(" SMTPUTF8") for letter in server.letters] == [True, False]
    assert server.letters[0].rcpt.encode("latin-1").decode() == f"RCPT TO:<{address}>"
    with HostileRelay(good) as server, connect(server) as connection:
        outcome = send(connection, recipient=address)
    assert outcome == relay.Outcome("refused", "rcpt", None, "5.6.7")
    assert len(server.commands) == 2  # EHLO and QUIT


def test_a_header_beyond_ascii_goes_where_it_is_offered_and_is_refused_elsewhere(
    good: Certificates,
) -> None:
    letter = LETTER.replace(b"canary-subject", "año".encode())
    with HostileRelay(good, extensions=INTERNATIONAL) as server:
        assert offer(server, letter).kind == "sent"
    assert server.letters[0].mail.endswith(" BODY=8BITMIME SMTPUTF8")
    with HostileRelay(good) as server:
        assert offer(server, letter) == relay.Outcome("refused", "mail", None, "5.6.9")


@pytest.mark.parametrize(
    ("offered", "fits"), [("SIZE", True), ("SIZE 0", True), ("SIZE 90", False)]
)
def test_a_letter_larger_than_the_relay_takes_is_not_even_announced(
    offered: str, fits: bool, good: Certificates
) -> None:
    """RFC 1870: without a number, or with 0, there is no fixed maximum."""
    with HostileRelay(good, extensions=(offered,)) as server, connect(server) as connection:
        outcome = send(connection, LETTER + b"x" * 90)
        assert connection.alive
    told = ("sent", "dot", "2.0.0") if fits else ("refused", "mail", "5.3.4")
    assert (outcome.kind, outcome.stage, outcome.enhanced_code) == told
    assert any(command.startswith("MAIL") for command in server.commands) is fits


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
    "a b@example.org", "canary", "", "canary@example.org\0", "josé\x85@example.org",
    "josé\u2028@example.org", "jos\udce9@example.org", "josé>@example.org", "@josé",
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


@pytest.mark.parametrize("way", WAYS)
def test_dots_and_long_lines_arrive_octet_for_octet(way: str, good: Certificates) -> None:
    letter = (
        b".first: x\r\n"
        + LETTER
        + b"\r\n".join(
            [b".", b"..", b".leading", b"x" * 998, b"." * 998, b"", b".", b"\t.", b"end.", b""]
        )
    )
    with HostileRelay(good, extensions=WAYS[way]) as server:
        assert offer(server, letter).kind == "sent"
    assert server.letters[0].content == letter


@pytest.mark.parametrize("way", WAYS)
def test_no_line_end_in_a_letter_can_smuggle_in_a_second_one(way: str, good: Certificates) -> None:
    hostile = LETTER + b"a\n.\nb\r.\rc\n.\r\nMAIL FROM:<x@example.org>\r\nlast"
    with HostileRelay(good, extensions=WAYS[way]) as server:
        assert offer(server, hostile).kind == "sent"
    tail = b"a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nMAIL FROM:<x@example.org>\r\nlast\r\n"
    assert [letter.content for letter in server.letters] == [LETTER + tail]
