"""REQUIRETLS, and what is kept of a relay's word about a letter.

EML-19 (RFC 8689: asked for inside TLS or not sent, never waived), EML-08 (no full letter in a
bounce), EML-17 (who says how the mailbox was reached).
"""

from __future__ import annotations

import json

import pytest
from reengage import relay
from reengage.embedded.certificates import Certificates
from reengage.errors import LetterError, RelayError
from reengage.relay_replies import REPLY_OCTETS, outcome_of
from simulators import certificates as certs
from simulators.sender import CANARY, ENVID, LETTER, RECIPIENT, SENDER, connect, offer, send
from simulators.smtp import DROP, HostileRelay

OFFERED = ("SIZE", "DSN", "REQUIRETLS")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certs.good(tmp_path_factory.mktemp("certificates"))


def test_a_letter_that_needs_it_asks_for_it_and_for_a_bounce_without_the_letter(
    good: Certificates,
) -> None:
    """EML-19, EML-08."""
    with HostileRelay(good, extensions=OFFERED) as server:
        outcome = offer(server, requiretls=True)
    assert (outcome.kind, outcome.requiretls) == ("sent", True)
    assert server.letters[0].mail == (
        f"MAIL FROM:<{SENDER}> SIZE={len(LETTER)} RET=HDRS ENVID={ENVID} REQUIRETLS"
    )


def test_a_letter_that_does_not_need_it_does_not_ask(good: Certificates) -> None:
    with HostileRelay(good, extensions=OFFERED) as server, connect(server) as connection:
        outcomes = [send(connection, requiretls=asked) for asked in (True, False, True)]
    assert [one.requiretls for one in outcomes] == [True, False, True]
    assert [one.mail.endswith(" REQUIRETLS") for one in server.letters] == [True, False, True]


@pytest.mark.parametrize(
    ("before", "inside", "offered"),
    [
        (("STARTTLS",), ("REQUIRETLS",), True),
        (("STARTTLS",), ("requiretls",), True),
        (("STARTTLS", "REQUIRETLS"), (), False),
        (("STARTTLS", "REQUIRETLS"), ("X-REQUIRETLS", "REQUIRETLSX"), False),
    ],
)
def test_only_what_is_offered_inside_tls_counts(
    before: tuple[str, ...], inside: tuple[str, ...], offered: bool, good: Certificates
) -> None:
    """EML-19."""
    with (
        HostileRelay(good, extensions=inside, extensions_before_tls=before) as server,
        connect(server) as connection,
    ):
        assert connection.offers_requiretls is offered


def test_without_it_the_letter_is_not_even_announced_and_the_next_may_go(
    good: Certificates,
) -> None:
    marks: list[int] = []
    with HostileRelay(good, extensions=("DSN",)) as server, connect(server) as connection:
        with pytest.raises(relay.RequireTlsError, match="relay localhost does not offer REQUIR"):
            send(connection, requiretls=True, on_attempt=lambda: marks.append(1))
        assert (marks, len(server.commands)) == ([], 1)
        assert send(connection).kind == "sent"
    assert issubclass(relay.RequireTlsError, RelayError)


@pytest.mark.parametrize("code", ["5.7.30", "5.7.10"])
def test_a_relay_that_cannot_keep_it_refuses_the_letter_by_its_own_codes(
    code: str, good: Certificates
) -> None:
    with HostileRelay(good, {"rcpt": f"550 {code} no"}, extensions=OFFERED) as server:
        outcome = offer(server, requiretls=True)
    assert (outcome.kind, outcome.enhanced_code, outcome.requiretls) == ("refused", code, True)


@pytest.mark.parametrize("stage", ["mail", "data", "dot", "reply"])
def test_a_connection_that_is_lost_still_tells_what_was_asked(
    stage: str, good: Certificates
) -> None:
    with HostileRelay(good, {stage: DROP}, extensions=OFFERED) as server:
        assert offer(server, requiretls=True).requiretls


WAIVERS = ["TLS-Required: No", "tls-required:no", "TLS-Required : No", "TLS-REQUIRED\t: Yes"]


@pytest.mark.parametrize("header", WAIVERS)
@pytest.mark.parametrize("first", [True, False])
def test_a_letter_that_waives_tls_is_not_sent(header: str, first: bool, good: Certificates) -> None:
    """EML-19: `TLS-Required: No` is never said."""
    line = header.encode() + b"\r\n"
    letter = line + LETTER if first else LETTER.replace(b"Subject", line + b"Subject")
    with HostileRelay(good, extensions=OFFERED) as server, connect(server) as connection:
        with pytest.raises(LetterError, match="has the header TLS-Required"):
            send(connection, letter)
        assert len(server.commands) == 1
    assert server.letters == []


def test_a_letter_may_speak_of_tls_in_its_text(good: Certificates) -> None:
    letter = LETTER + b"\r\nTLS-Required: No is what we never say\r\n"
    with HostileRelay(good) as server:
        assert offer(server, letter).kind == "sent"


# --- the word on a letter ---


def test_the_evidence_is_plain_and_the_reply_is_beside_it(good: Certificates) -> None:
    said = f"250 2.0.0 Ok: queued as 4F1A2B3C for <{RECIPIENT}>"
    with HostileRelay(good, {"reply": said}) as server:
        outcome = offer(server)
    assert outcome.reply == said.encode()
    assert outcome.evidence() == {
        "kind": "sent", "stage": "dot", "code": 250, "enhanced_code": "2.0.0",
        "queue_id": "4F1A2B3C", "requiretls": False, "recipient_policy": None,
    }  # fmt: skip
    assert "canary" not in json.dumps(outcome.evidence()) + repr(outcome)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_of_a_letter_that_is_refused_the_reply_that_decided_is_kept(
    stage: str, good: Certificates
) -> None:
    with HostileRelay(good, {stage: f"550-5.1.1 no\r\n550 5.1.1 <{RECIPIENT}>"}) as server:
        outcome = offer(server)
    assert outcome.reply == f"550 5.1.1 no\n5.1.1 <{RECIPIENT}>".encode()
    assert CANARY.decode() not in repr(outcome)


def test_a_reply_is_kept_up_to_its_length_and_nonsense_as_it_is() -> None:
    endless = outcome_of("dot", 250, b"x" * 5000)
    assert len(endless.reply) == REPLY_OCTETS
    assert endless.kind == "sent"
    nonsense = outcome_of("dot", -1, b"canary")
    assert (nonsense.kind, nonsense.reply) == ("unknown", b"canary")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("2.0.0 Ok: queued as 4F1A2B3C; policy=dane", "dane"),
        ("2.0.0 Ok tls-policy=mta-sts", "mta-sts"),
        ("2.0.0 Ok (policy-type=sts)", "mta-sts"),
        ("2.0.0 delivered, TLS-Policy-Type=TLSA", "dane"),
        ("policy=dane, ok", "dane"),
        ("2.0.0 Ok policy=none", None),
        ("2.0.0 Ok policy=no-policy-found", None),
        ("2.0.0 Ok policy=danegeld", None),
        ("2.0.0 Ok xpolicy=dane", None),
        ("2.0.0 delivered to <policy=dane@example.org>", None),
        ("2.0.0 delivered over DANE", None),
        ("2.0.0 Ok", None),
    ],
)
def test_how_the_mailbox_was_reached_is_taken_from_a_word_of_its_own_only(
    text: str, policy: str | None
) -> None:
    """EML-17."""
    assert outcome_of("dot", 250, text.encode()).recipient_policy == policy


def test_a_refusal_says_nothing_of_the_mailbox() -> None:
    assert outcome_of("dot", 550, b"5.7.1 policy=dane").recipient_policy is None
