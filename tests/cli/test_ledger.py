"""The ledger at the command line: what it says, what leaves it, and that both are on record."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import sys
from pathlib import Path

import pytest
from daily import Practice
from entries import Books, disclosure, event
from reengage.cli.actor import actor
from reengage.cli.ledger import without_secrets
from reengage.cli.main import main
from reengage.contract import load_contract
from reengage.disclosing import WORDS
from reengage.keys import open_keyring
from reengage.ledger.entry import parse
from reengage.pipeline.send import send
from reengage.settings import HOME
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from world import DAY

PERIOD = ["--from", "2020-01-01", "--to", "2100-01-01"]


@pytest.fixture
def books(desk: Practice) -> Books:
    """The desk's ledger, to be written to and tampered with."""
    settings = desk.settings
    engine = create_engine(settings.store_url, poolclass=NullPool)
    return Books(settings.store_url, engine, open_keyring(settings.keyring))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def accesses(books: Books) -> list[dict[str, object]]:
    found = books.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    return [json.loads(bytes(entry))["body"] for (entry,) in found]


# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: ACTION"),
        (["burn"], "invalid choice: 'burn'"),
        (["prove"], "the following arguments are required: INDEX"),
        (["prove", "first"], "write an entry's index"),
        (["prove", "9" * 16], "write an entry's index"),
        (["disclosures", "--patient", "p"], "required: --from, --to"),
        (["disclosures", "--patient", "p", "--from", "x", "--to", "y"], "write a day"),
        (["export"], "the following arguments are required: LOCATION"),
        (["tail", "-n", "0"], "expected a number of 1 or more"),
        (["tail", "--kind", "letter"], "invalid choice: 'letter'"),
        (["mirror", "--follow", "--status"], "not allowed with"),
    ],
)
def test_wrong_usage_is_told_with_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["ledger", *arguments])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


# --- verify, checkpoint ---


def test_verify_tells_a_sound_ledger_and_every_fault_with_its_entry(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1), event(2), event(2, "COMPLETE"))
    assert main(["ledger", "checkpoint"]) == 0
    assert main(["ledger", "checkpoint"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"signed over 3 entries, root \S{43}=\nnothing came since the newest", said)
    assert main(["ledger", "verify"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("the ledger is sound: 4 entries, root ")
    assert "checkpoints that agree: 1\nruns without an end: 1\n  00000000-" in shown.out
    assert shown.err == ""
    assert main(["ledger", "verify", "--json"]) == 0
    sound = json.loads(capsys.readouterr().out)
    assert (sound["sound"], sound["entries"], sound["checkpoints"]) == (True, 4, 1)
    assert sound["findings"] == []

    books.spoil("ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check")
    books.spoil("UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 2")
    assert main(["ledger", "verify"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("entry 2 is not what was hashed")
    assert shown.out.startswith("the ledger is NOT sound, 1 fault: 4 entries")
    assert main(["ledger", "verify", "--json"]) == 1
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert finding["entry"] == 2


def test_from_outside_keys_are_enough_to_verify(
    books: Books,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    books.add(event(1))
    main(["ledger", "checkpoint"])
    (tmp_path / "keys").write_text(books.keys[0].text + "\n", encoding="utf-8")
    lies = ["--checkpoints", books.checkpoints.location]
    monkeypatch.setenv("REENGAGE_KEYRING", str(tmp_path / "nowhere"))
    assert main(["ledger", "verify", "--keys", str(tmp_path / "keys"), *lies]) == 0
    assert "checkpoints that agree: 1" in capsys.readouterr().out
    assert main(["ledger", "verify", *lies]) == 1  # at home, the keyring has to be there
    assert "key file" in capsys.readouterr().err


# --- prove, check-proof ---


def test_a_proof_is_checked_without_a_database_against_keys_from_elsewhere(
    books: Books,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    books.add(event(1), disclosure(books.keyring, "canary"), event(3))
    main(["ledger", "checkpoint"])
    file = tmp_path / "proof.json"
    assert main(["ledger", "prove", "1", "-o", str(file)]) == 0
    assert main(["ledger", "prove", "1"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :]) == json.loads(file.read_text(encoding="utf-8"))
    assert [(one["action"], one["of"], one["detail"]) for one in accesses(books)] == [
        ("exported", "proof", {"index": 1})
    ] * 2
    (tmp_path / "keys").write_text(books.keys[0].text, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("REENGAGE_")]:
        monkeypatch.delenv(name)
    trusting = ["--keys", str(tmp_path / "keys")]
    assert main(["ledger", "check-proof", str(file), *trusting]) == 0
    said = capsys.readouterr().out
    assert "entry 1 of reengage/" in said
    assert "canary" not in said
    assert main(["ledger", "check-proof", str(file)]) == 1  # not because the file names its keys
    assert "there is no verifier key to trust" in capsys.readouterr().err
    document = json.loads(file.read_text(encoding="utf-8"))
    for spoiled, told in (
        ({**document, "index": 0}, "the entry is not entry 0"),
        ({**document, "proof": []}, "the entry is not entry 1"),
        ({}, "it is no proof"),
    ):
        file.write_text(json.dumps(spoiled), encoding="utf-8")
        assert main(["ledger", "check-proof", str(file), *trusting]) == 1
        assert told in capsys.readouterr().err
    file.write_text("no JSON", encoding="utf-8")
    assert main(["ledger", "check-proof", str(file), *trusting]) == 1
    assert "it is not JSON" in capsys.readouterr().err
    assert main(["ledger", "check-proof", str(tmp_path / "none"), *trusting]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_what_no_checkpoint_covers_cannot_be_proven(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1))
    assert main(["ledger", "prove", "0"]) == 1
    assert main(["ledger", "prove", "7"]) == 1
    shown = capsys.readouterr()
    assert "no checkpoint covers entry 0 yet" in shown.err
    assert "the ledger has no entry 7" in shown.err
    assert shown.out == ""


# --- disclosures ---


def test_a_letter_that_was_sent_is_told_of_in_all_three_forms(
    desk: Practice, books: Books, hostile: HostileRelay, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    desk.world.patient("p1", patient={"given_name": "Zoë"})
    desk.world.patient("p2")
    run = desk.open("medication_reminder")
    for chunk in desk.hurry(run):
        send(run, chunk)
    assert len(hostile.letters) == 2
    asked = ["ledger", "disclosures", "--patient", "p1", *PERIOD]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "accounted for under 45 CFR 164.528: none" in said
    assert "Zoë, the patient, p1@example.org" in said
    assert "no checkpoint has been signed" in said
    assert "p2" not in said

    main(["ledger", "checkpoint"])
    files = [tmp_path / "told.csv", tmp_path / "told.pdf"]
    assert main([*asked, "--csv", str(files[0]), "--pdf", str(files[1])]) == 0
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 2
    assert sorted(path.name for path in tmp_path.glob("*told*")) == ["told.csv", "told.pdf"]
    [row] = csv.DictReader(io.StringIO(files[0].read_text(encoding="utf-8")))
    assert (row["recipient"], row["accountable"], row["outcome"]) == (
        "Zoë, the patient", "no", "sent",
    )  # fmt: skip
    assert row["disclosed"] == "strength and form of a medicine; name of a medicine"
    assert files[1].read_bytes().startswith(b"%PDF-")
    assert "p1" not in capsys.readouterr().out.replace(str(tmp_path), "")


def test_what_is_told_in_words_of_its_own_is_in_the_contract() -> None:
    contract = load_contract(HOME)
    assert [contract.column(name).name for name in WORDS]


def test_a_letter_to_an_address_that_nobody_has_is_accounted_for(
    desk: Practice, books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1", contact={"confidential_email": "Other@example.org"})
    desk.world.set("representative", patient_key="p1", representative_key="r", authority="parent",
                   email="mum@example.org", blocked=False)  # fmt: skip
    addresses = ("p1@example.org", "other@example.org", "MUM@example.org", "old@example.org")
    books.add(*(disclosure(books.keyring, "p1", address=address) for address in addresses))
    main(["ledger", "checkpoint"])
    books.add(disclosure(books.keyring, "p1", outcome="withheld"))
    assert main(["ledger", "disclosures", "--patient", "p1", *PERIOD]) == 0
    accounted, excepted = re.split(r"\nexcepted: 3\n", capsys.readouterr().out)
    assert "unknown recipient, address not known any more" in accounted
    assert "taken for misdirected" in accounted
    assert "old@" not in accounted  # the ledger cannot tell
    for shown in (
        "Givenp1, the patient, p1@example.org", "Givenp1, the patient, Other@example.org",
        "personal representative (parent), mum@example.org", "reached nobody: 1",
        "verified against the signed checkpoint of 4 entries",
    ):  # fmt: skip
        assert shown in excepted


def test_who_asked_is_on_record_before_anything_is_told_and_by_pseudonym(
    desk: Practice, books: Books, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """SEC-11, SEC-12: also in an emergency, by the account of the system."""
    desk.world.patient("canary")
    monkeypatch.setattr(sys, "stdin", io.StringIO("canary\n"))
    assert main(["ledger", "disclosures", "--patient", "-", *PERIOD]) == 0
    monkeypatch.setenv("REENGAGE_ACTOR", "j.doe")
    assert main(["ledger", "disclosures", "--patient", "canary", *PERIOD]) == 0
    by_system, by_name = accesses(books)
    assert str(by_system["actor"]).startswith("os:")
    assert by_system["detail"] == {
        "patient": books.keyring.pseudonym("patient", "canary"),
        "pseudonym_key": books.keyring.pseudonym_key_name,
        "from": "2020-01-01", "to": "2100-01-01",
    }  # fmt: skip
    assert by_name["actor"] == "j.doe"
    assert by_name["detail"]["account"] == by_system["actor"]  # type: ignore[index]
    capsys.readouterr()

    books.spoil("UPDATE ledger_head SET mac = 'x'")
    for command in (
        ["ledger", "disclosures", "--patient", "canary", *PERIOD],
        ["why", "--patient", "canary", "--date", DAY.isoformat()],
        ["ledger", "export", str(desk.settings.keyring.parent / "export")],
    ):
        assert main(command) == 1
        shown = capsys.readouterr()
        assert "the head of the ledger" in shown.err
        assert "canary" not in shown.err + shown.out
        assert shown.out == ""
    assert not (desk.settings.keyring.parent / "export").exists()


def test_bad_questions_are_told(
    desk: Practice, books: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["ledger", "disclosures", "--patient", "canary"]
    assert main([*asked, "--from", "2025-02-01", "--to", "2025-01-01"]) == 1
    assert "--from lies after --to" in capsys.readouterr().err
    assert main([*asked, *PERIOD]) == 1
    assert "neither the ledger nor the warehouse knows" in capsys.readouterr().err
    desk.world.patient("canary")
    assert main([*asked, *PERIOD, "--csv", str(tmp_path / "no" / "where.csv")]) == 1
    shown = capsys.readouterr()
    assert "where.csv cannot be written" in shown.err
    books.add(disclosure(books.keyring, "canary"))
    main(["ledger", "checkpoint"])
    books.spoil("UPDATE ledger_entry SET subject = 'x' WHERE kind = 'access'")
    books.spoil("ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check")
    books.spoil("UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 0")
    capsys.readouterr()
    assert main([*asked, *PERIOD]) == 1
    shown = capsys.readouterr()
    assert "is not the one that its checkpoint of size" in shown.err
    assert shown.out == ""


# --- what other commands leave in the ledger (SEC-15) ---


def test_every_command_that_opens_or_decides_leaves_a_record(desk: Practice, books: Books) -> None:
    """SEC-12: there is no way round it for an emergency."""
    desk.world.patient("canary")
    for command in (
        ["why", "--patient", "canary", "--date", DAY.isoformat(), "--campaign", "health_education"],
        ["opt-out", "--patient", "canary", "--channel", "phone"],
        ["revoke", "--patient", "canary", "--purpose", "email", "--channel", "letter"],
        ["accept-counts", "--reason", "canary merged", "--campaign", "health_education"],
    ):
        assert main(command) == 0
    patient = {
        "patient": books.keyring.pseudonym("patient", "canary"),
        "pseudonym_key": books.keyring.pseudonym_key_name,
    }
    opted, revoked = [
        json.loads(line)["at"]
        for line in desk.settings.journal_path.read_text(encoding="utf-8").splitlines()
    ]
    assert [(one["action"], one["of"], one["detail"]) for one in accesses(books)] == [
        ("opened", "why", {**patient, "campaign": "health_education", "day": DAY.isoformat()}),
        ("recorded", "opt_out", {**patient, "scope": None, "channel": "phone", "at": opted}),
        (
            "recorded",
            "revocation",
            {
                **patient,
                "scope": "email",
                "channel": "letter",
                "at": revoked,
            },
        ),
        ("approved", "source counts", {"campaigns": ["health_education"]}),
    ]
    assert all(b"canary" not in entry for entry in books.bytes)
    assert main(["ledger", "verify"]) == 0


def test_a_refusal_that_the_ledger_cannot_take_is_safe_in_the_journal(
    desk: Practice, books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1")
    books.add(event(1))
    books.spoil("UPDATE ledger_head SET mac = 'x'")
    assert main(["opt-out", "--patient", "p1"]) == 1
    assert "it is in the journal, and holds" in capsys.readouterr().err
    assert desk.rows("SELECT * FROM opt_out") == []
    journal = desk.settings.journal_path.read_text(encoding="utf-8")
    assert books.keyring.pseudonym("patient", "p1") in journal


# --- export, tail, mirror, purge ---


def test_an_export_is_on_record_repeats_itself_and_verifies(
    books: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1), disclosure(books.keyring, "canary"))
    main(["ledger", "checkpoint"])
    target = tmp_path / "export"
    capsys.readouterr()
    assert main(["ledger", "export", str(target)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "segments/00000000000000000000-00000000000000000001.jsonl",
        "checkpoints/00000000000000000002.checkpoint",
        "keys/0001.vkey",
        "3 new files; 2 of 4 entries are exported, the last 2 wait for the next checkpoint",
    ]
    assert main(["ledger", "export", str(target)]) == 0
    assert capsys.readouterr().out.startswith("0 new files; 2 of 5 entries")
    assert [(one["action"], one["of"]) for one in accesses(books)] == [("exported", "ledger")] * 2
    assert main(["ledger", "verify", "--export", str(target)]) == 0
    assert capsys.readouterr().out.startswith("the ledger is sound: 2 entries")
    segment = next((target / "segments").iterdir())
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b"sent", b"lost"))
    assert main(["ledger", "verify", "--export", str(target)]) == 1
    assert "checkpoint 2 contradicts the ledger" in capsys.readouterr().err
    assert main(["ledger", "export", str(target)]) == 1
    assert "segments/00000000000000000000-0" in capsys.readouterr().err


def test_a_locations_secrets_are_not_recorded() -> None:
    assert without_secrets("s3://key:canary@bucket/a?token=canary") == "s3://bucket/a"
    assert without_secrets("/srv/export") == "/srv/export"


def test_tail_shows_the_newest_in_a_line_each(
    books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1), event(1, "COMPLETE"), disclosure(books.keyring, "canary"))
    monkeypatch.setenv("REENGAGE_ACTOR", "evil\x1b[2J")
    main(["ledger", "export", "memory://tail"])
    main(["ledger", "checkpoint"])
    capsys.readouterr()
    assert main(["ledger", "tail", "-n", "4"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert [line.split()[2] for line in lines] == [
        "run_event", "disclosure", "access", "checkpoint",
    ]  # fmt: skip
    assert "COMPLETE health_education.extract" in lines[0]
    assert "sent: letter " in lines[1]
    assert "exported ledger: account os:" in lines[2]
    assert lines[2].endswith(", location memory://tail")
    assert "signed over 4 entries" in lines[3]
    assert "\x1b" not in shown
    assert "canary" not in shown
    assert main(["ledger", "tail", "--json", "--kind", "disclosure"]) == 0
    assert capsys.readouterr().out.encode() == books.bytes[2] + b"\n"
    monkeypatch.setenv("REENGAGE_MIRROR_URL", "http://localhost:1")
    assert main(["ledger", "tail", "-n", "1"]) == 0
    assert capsys.readouterr().out.endswith("mirror: told nothing yet, 2 run events wait\n")
    books.spoil("ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check")
    books.spoil("UPDATE ledger_entry SET entry = 'canary' WHERE index = 4")
    assert main(["ledger", "tail", "-n", "1"]) == 0
    assert "cannot be read; run `ledger verify`" in capsys.readouterr().out


def test_the_mirror_is_off_by_default_and_says_how_far_it_is(
    books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    books.add(event(1))
    assert main(["ledger", "mirror"]) == 0
    assert "there is no mirror" in capsys.readouterr().out
    monkeypatch.setenv("REENGAGE_MIRROR_URL", "http://localhost:1")
    assert main(["ledger", "mirror", "--status"]) == 0
    assert capsys.readouterr().out == "mirror: told nothing yet, 1 run events wait\n"
    monkeypatch.setenv("REENGAGE_MIRROR_URL", "http://lineage.example.org")
    assert main(["ledger", "mirror"]) == 1
    assert "REENGAGE_MIRROR_URL is no address" in capsys.readouterr().err


def test_purge_deletes_nothing_of_the_ledger(desk: Practice, books: Books) -> None:
    """SEC-19: there is no way to delete from the ledger at all, six years or not."""
    books.add(event(1), disclosure(books.keyring, "p1"))
    with books.engine.begin() as connection:
        connection.exec_driver_sql("SELECT ensure_decision_month(DATE '2010-05-01')")
    before = books.bytes
    assert main(["purge"]) == 0
    assert books.bytes[: len(before)] == before


def test_who_says_that_nothing_was_lost_is_on_record(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["ledger", "restored", "--nothing-lost", "--because", "db2 took over, synchronous"]
    assert main(said) == 0
    assert "campaigns go on where they were" in capsys.readouterr().out
    assert desk.rows("SELECT FROM restoration") == []
    [home] = desk.rows("SELECT place = store_place() AS here FROM store_home")
    assert home == {"here": True}
    [entry] = desk.rows("SELECT entry FROM ledger_entry WHERE kind = 'access'")
    detail = parse(bytes(entry["entry"])).body["detail"]  # type: ignore[call-overload]
    assert (detail["ground"], detail["nothing_lost"]) == ("db2 took over, synchronous", True)


def test_who_knows_of_a_restored_store_is_on_record(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "restored", "--because", "disk of db1 lost"]) == 0
    assert "on record with your name" in capsys.readouterr().out
    [row] = desk.rows("SELECT accepted_by, checkpoint_size FROM restoration")
    assert row == {"accepted_by": actor(), "checkpoint_size": None}
    [entry] = desk.rows("SELECT entry FROM ledger_entry WHERE kind = 'access'")
    said = parse(bytes(entry["entry"])).body  # type: ignore[call-overload]
    assert (said["action"], said["of"]) == ("approved", "ledger/restored")
    assert said["detail"]["ground"] == "disk of db1 lost"
