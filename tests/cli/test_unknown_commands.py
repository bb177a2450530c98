"""`python -m reengage unknown`: evidence, then a person; both on record, nothing sent again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from daily import Practice
from reengage.cli.main import main
from reengage.ledger.entry import parse
from reengage.pipeline.send import send
from simulators.smtp import DROP, HostileRelay

LETTERS = 3


@pytest.fixture
def unknown(desk: Practice, hostile: HostileRelay) -> UUID:
    """One of three letters was taken, and the relay hung up before it said so."""
    for number in range(LETTERS):
        desk.world.patient(f"p{number}")
    run = desk.open("appointment_reminder")
    [chunk] = desk.hurry(run)
    hostile.script = {"reply": [DROP, "250 2.0.0 ok"]}
    assert send(run, chunk) == {"sent": LETTERS - 1, "unknown": 1}
    [row] = desk.rows("SELECT letter_id FROM letter WHERE state = 'unknown'")
    return UUID(str(row["letter_id"]))


def records(practice: Practice) -> list[Mapping[str, object]]:
    found = practice.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    return [parse(bytes(row["entry"])).body for row in found]  # type: ignore[call-overload]


def mailbox(directory: Path, relay: HostileRelay) -> Path:
    """What the relay took, as a Maildir has it."""
    (directory / "new").mkdir(parents=True)
    for number, letter in enumerate(relay.letters):
        (directory / "new" / str(number)).write_bytes(letter.content)
    return directory


def test_the_list_shows_what_finds_them_and_is_on_record(
    unknown: UUID, desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["unknown", "list"]) == 0
    assert str(unknown) in capsys.readouterr().out
    assert main(["unknown", "list", "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["letter"], shown["days"]) == (str(unknown), 0)
    assert shown["envid"].startswith(f"{unknown.hex}-")
    assert [(one["action"], one["of"]) for one in records(desk)] == [("opened", "unknown")] * 2


def test_nothing_to_list_is_said_and_leaves_no_record(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["unknown", "list"]) == 0
    assert capsys.readouterr().out == "no letter is unknown\n"
    assert records(desk) == []


def test_a_person_resolves_one_with_name_and_ground(
    unknown: UUID,
    desk: Practice,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SEC-15."""
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    because = "the relay's operator  saw it leave"
    resolve = ["unknown", "resolve", str(unknown), "--as", "sent", "--because", because]
    assert main(resolve) == 0
    assert desk.states() == {"sent": LETTERS}
    [record] = records(desk)
    assert (record["actor"], record["action"]) == ("olga", "resolved")
    said = record["detail"]
    assert isinstance(said, Mapping)
    assert (said["letter"], said["as"]) == (str(unknown), "sent")
    assert said["ground"] == "person: the relay's operator saw it leave"
    capsys.readouterr()
    assert main(resolve) == 1
    assert "is not `unknown`, so there is nothing to resolve" in capsys.readouterr().err
    assert len(records(desk)) == 1


@pytest.mark.parametrize(
    "because", ["", "x", "canary@example.org says so", "MRN 4711471", "x" * 201]
)
def test_a_ground_that_may_name_somebody_is_refused(
    because: str, unknown: UUID, desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve = ["unknown", "resolve", str(unknown), "--as", "sent", f"--because={because}"]
    assert main(resolve) == 1
    shown = capsys.readouterr().err
    assert "--because is kept in the ledger for good" in shown
    assert "canary" not in shown
    assert desk.states() == {"sent": LETTERS - 1, "unknown": 1}


def test_evidence_is_shown_and_decides_nothing_by_itself(
    unknown: UUID,
    desk: Practice,
    hostile: HostileRelay,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["unknown", "evidence", str(mailbox(tmp_path / "mail", hostile))]) == 0
    assert capsys.readouterr().out == (
        f"{unknown} points to sent (mailbox: the letter itself)\n"
        "0 of 1 unknown letters left no trace there\n"
    )
    assert desk.states() == {"sent": LETTERS - 1, "unknown": 1}
    assert [one["of"] for one in records(desk)] == ["unknown/evidence"]


def test_evidence_resolves_in_the_name_of_who_says_so(
    unknown: UUID, desk: Practice, hostile: HostileRelay, tmp_path: Path
) -> None:
    place = mailbox(tmp_path / "mail", hostile)
    assert main(["unknown", "evidence", "--resolve", str(place)]) == 0
    assert desk.states() == {"sent": LETTERS}
    assert [one["action"] for one in records(desk)] == ["opened", "resolved"]
    assert len(hostile.letters) == LETTERS


def test_an_empty_place_leaves_it_to_a_person(
    unknown: UUID, desk: Practice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place := tmp_path / "empty").mkdir()
    assert main(["unknown", "evidence", "--resolve", str(place)]) == 0
    assert capsys.readouterr().out == "1 of 1 unknown letters left no trace there\n"
    assert desk.states() == {"sent": LETTERS - 1, "unknown": 1}


def test_a_letter_is_named_by_its_id_only(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["unknown", "resolve", "canary", "--as", "sent", "--because", "asked there"])
    assert raised.value.code == 2
    capsys.readouterr()
    assert main(["unknown", "resolve", str(uuid4()), "--as", "sent", "--because", "asked"]) == 1
