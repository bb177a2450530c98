"""What leaves is recorded: an intent before the relay is spoken to, one record per outcome after.

LOG-12, PRV-25. The ledger is read back from its bytes; the relay is a real SMTP server with TLS.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, opt_out, run_of, states
from reengage.errors import LedgerError
from reengage.pipeline.disclosure import disclose
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from simulators.smtp import DROP, HostileRelay
from world import NOW


def bodies(practice: Practice, kind: str) -> list[dict[str, Any]]:
    found = practice.rows(
        "SELECT convert_from(entry, 'UTF8') AS entry FROM ledger_entry"
        " WHERE kind = :kind ORDER BY index",
        kind=kind,
    )
    return [json.loads(str(row["entry"]))["body"] for row in found]


def outcomes(practice: Practice) -> list[tuple[str, str | None, str]]:
    return [(one["outcome"], one["reason"], one["seal"]) for one in bodies(practice, "disclosure")]


def test_a_letter_that_was_sent_is_told_of_in_full_and_nobody_is_named(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    send(run, CHUNK)
    records = {one["letter"]: one for one in bodies(ready_practice, "disclosure")}
    letters = ready_practice.rows("SELECT * FROM letter WHERE rehearsal IS NULL")
    assert len(records) == len(letters) == LETTERS
    known = {run.pseudonym(f"p{n}"): f"p{n}" for n in range(LETTERS)}
    for letter in letters:
        said = records[str(letter["letter_id"])]
        key = known[said["patient"]]
        assert said["recipient"] == run.keyring.pseudonym("recipient", f"{key}@example.org")
        assert said["authorization"] == run.keyring.pseudonym(
            "authorization", f"authorization-{key}"
        )
        assert said["fields"] == ["appointment.location", "appointment.start_at"]
        assert said["template_sha256"] == letter["template_sha256"]
        assert said["message_id"] == letter["message_id"]
        assert (said["vendor"], said["baa_id"]) == ("embedded", "SAMPLE-0001")
        assert (said["purpose"], said["outcome"]) == ("treatment", "sent")
        assert (said["seal"], said["seal_basis"]) == ("tls", "contract")
        assert said["transport"]["tls_version"] == "TLSv1.3"
        assert said["transport"]["code"] == 250
        assert said["pseudonym_key"] == run.keyring.pseudonym_key_name
    text = json.dumps(list(records.values()))
    for secret in ("@example.org", "Given", "Clinic", "authorization-p", '"p0"'):
        assert secret not in text


def test_the_intent_is_in_the_ledger_before_the_relay_hears_of_a_letter(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    seen: list[set[str]] = []
    relay.at("mail", lambda: seen.append(_intended(ready_practice)))
    send(run_of(ready_practice, ready.live), CHUNK)
    letters = ready_practice.rows("SELECT letter_id FROM letter WHERE rehearsal IS NULL")
    assert seen == [{str(row["letter_id"]) for row in letters}] * LETTERS


def _intended(practice: Practice) -> set[str]:
    return {letter for one in bodies(practice, "intent") for letter in one["letters"]}


REPLIES: dict[str, tuple[dict[str, Any], tuple[str, str | None, str]]] = {
    "refused before DATA": ({"rcpt": "550 5.1.1 no"}, ("refused", "rcpt 550 5.1.1", "none")),
    "refused after the dot": ({"reply": "554 5.7.1 no"}, ("refused", "dot 554 5.7.1", "tls")),
    "deferred": ({"rcpt": "451 4.7.1 later"}, ("deferred", "rcpt 451 4.7.1", "none")),
    "unknown": ({"reply": DROP}, ("unknown", "connection_lost_at_dot", "tls")),
}


@pytest.mark.parametrize("case", REPLIES)
def test_every_other_outcome_is_told_of_too(
    case: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    script, told = REPLIES[case]
    relay.script = script
    send(run_of(ready_practice, ready.live), CHUNK)
    assert outcomes(ready_practice) == [told] * LETTERS


def test_a_letter_that_may_not_go_was_offered_to_nobody(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    for number in range(LETTERS):
        opt_out(run, f"p{number}")
    send(run, CHUNK)
    assert outcomes(ready_practice) == [("withheld", "opted_out", "none")] * LETTERS
    assert bodies(ready_practice, "intent") == []
    late = ready_practice.at(NOW + timedelta(days=30))
    settle(run_of(late, ready.live))
    assert len(outcomes(ready_practice)) == LETTERS


def test_a_rehearsal_discloses_nothing(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.dry)
    send(run, CHUNK)
    assert bodies(ready_practice, "disclosure") == bodies(ready_practice, "intent") == []


def test_what_cannot_be_recorded_is_not_sent(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger refuses the intent: no claim, and the relay hears of no letter."""
    run = run_of(ready_practice, ready.live)

    def refuse(*_: object) -> None:
        raise LedgerError("the ledger refuses")

    monkeypatch.setattr("reengage.pipeline.disclosure.append", refuse)
    with pytest.raises(LedgerError):
        send(run, CHUNK)
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    assert relay.letters == []


def test_nothing_to_tell_is_not_told(ready_practice: Practice, ready: Ready) -> None:
    run: Run = run_of(ready_practice, ready.live)
    with run.store.begin() as connection:
        assert disclose(connection, run, []) == 0
