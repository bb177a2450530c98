"""Backup and restore (SEC-08, SEC-14): the drill, and everything that must be refused.

The drill is short here; `make drill` runs it with many letters and prints what happens.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from drill import CAMPAIGN, NEW, NEWER, Drill
from reengage import suppressions
from reengage.backup import programs
from reengage.backup.aside import copy_aside
from reengage.cli.main import main
from reengage.errors import BackupError, KeyringError, RefusedError, StoreError
from reengage.keys import ensure_keyring, open_keyring
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.outbox import check_outbox
from reengage.pipeline import approvals
from reengage.pipeline.preflight import preflight
from reengage.pipeline.question import UnapprovedError
from reengage.pipeline.run import resume
from reengage.settings import HOME
from sqlalchemy import create_engine
from sqlalchemy.exc import InternalError  # 25006, read-only transaction


def test_the_drill(site: Drill) -> None:
    """A backup under way, everything that came after it, the store lost, and brought back."""
    site.until_the_backup()
    site.after_it()
    site.lose()
    told = site.restore_with_evidence()
    assert "0 unknown" in told
    practice, run_id = site.practice, site.under_way
    assert run_id is not None

    # The ledger is what was signed outside, up to the newest checkpoint.
    assert "the ledger is sound" in site.command("ledger", "verify")
    engine = create_engine(practice.settings.store_url)
    with engine.connect() as connection:
        assert check_outbox(connection, HOME) == []
    engine.dispose()

    assert practice.rows("SELECT FROM restoration") == []  # the evidence leaves no doubt

    # What patients said since holds.
    for table in ("revocation", "opt_out", "suppression"):
        assert practice.rows(f"SELECT count(*) AS n FROM {table}") == [{"n": 1}]

    # Nothing is sent before somebody has looked.
    practice.world.patient("z0")
    left = site.again()[1]
    site.tell(f"# a run meanwhile: {left} letters leave")
    assert left == 0
    site.looked()

    # An opt-out link works that only a letter of after the backup has, before anything is composed.
    ring = open_keyring(practice.settings.keyring)
    since = [ring.pseudonym("patient", one) for one in NEW]
    links = practice.rows("SELECT patient FROM opt_out_link WHERE patient = ANY(:p)", p=since)
    assert sorted(str(row["patient"]) for row in links) == sorted(since)

    # No letter goes twice: neither one that was open, nor one that was composed since.
    require_nothing_twice(site)

    # What is too late is not sent, and what was shredded stays so.
    assert site.again(days=8)[1] == 0
    keyring = open_keyring(practice.settings.keyring)
    with pytest.raises(KeyringError, match="it was destroyed"):
        _ = resume(practice.settings, CAMPAIGN, run_id).data_key
    assert not keyring.has_data_key(run_id)
    assert not list((site.keys / "keyring").glob("runs/*"))
    assert "the ledger is sound" in site.command("ledger", "verify")
    with create_engine(practice.settings.store_url).connect() as connection:
        assert check_outbox(connection, HOME) == []


def require_nothing_twice(site: Drill) -> None:
    """The next run sends what is new, and leaves every letter as it is known."""
    run, left = site.again()
    site.tell(f"# the next run: {left} letter leaves, that of a patient who is new")
    assert left == 1
    assert site.twice() == []
    now = site.practice.rows(
        "SELECT message_id, state FROM letter WHERE rehearsal IS NULL ORDER BY message_id"
    )
    assert {str(row["message_id"]): row["state"] for row in site.before}.items() <= {
        str(row["message_id"]): row["state"] for row in now
    }.items()
    since = [run.pseudonym(one) for one in (*NEW, *NEWER)]
    taken_up = site.practice.rows(
        "SELECT state FROM letter WHERE patient = ANY(:p) AND campaign = :c", p=since, c=CAMPAIGN
    )
    assert taken_up == [{"state": "sent"}] * 4


# --- what must be refused, and what must not be there ---


def contents(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_a_dump_and_the_keys_never_lie_in_one_place(backed_up: Drill) -> None:
    """SEC-14: neither place alone opens a letter, and runs' data keys are in none."""
    keyring = backed_up.practice.settings.keyring
    secrets = [path.read_bytes() for path in keyring.rglob("*.key")]
    assert secrets
    dumps = contents(backed_up.store)
    assert [one for one in secrets if one in dumps] == []
    [backup] = backed_up.store.glob("[0-9]*")
    assert sorted(path.name for path in backup.iterdir()) == [
        "files", "manifest.json", "settings.json", "store.dump",
    ]  # fmt: skip
    assert backed_up.under_way is not None
    runs = (keyring / "runs" / f"{backed_up.under_way}.key").read_bytes()
    assert runs not in contents(backed_up.keys)
    assert list(backed_up.keys.rglob("*.dump")) == []
    for path in [*backed_up.store.rglob("*"), *backed_up.keys.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_of_a_patient_and_no_password_is_in_the_clear(
    backed_up: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_RETURNS_IMAP", "imaps://user:hunter2@mail.example.org/INBOX")
    monkeypatch.setenv("REENGAGE_MIRROR_TOKEN", "hunter2")
    hooks = "https://hooks.example.org/services/T0/hunter2 https://chat.example.org/hunter2"
    monkeypatch.setenv("REENGAGE_ALERT_WEBHOOKS", hooks)
    monkeypatch.setenv("REENGAGE_RELAY_URL_OTHER", "smtps://user:hunter2@relay.example.org:465")
    monkeypatch.setenv("REENGAGE_AIRFLOW_URL", "https://api:ha/hunter2@airflow.example.org")
    backed_up.back_up()
    everything = contents(backed_up.store) + contents(backed_up.keys)
    for secret in (b"hunter2", b"p0@example.org", b"Givenp0", b"appointment-p0"):
        assert secret not in everything
    told = json.loads((sorted(backed_up.store.glob("[0-9]*"))[-1] / "settings.json").read_text())
    assert told["REENGAGE_RETURNS_IMAP"] == "imaps://mail.example.org/INBOX"
    assert told["REENGAGE_MIRROR_TOKEN"] == told["REENGAGE_ALERT_WEBHOOKS"] == "(set)"
    assert told["REENGAGE_RELAY_URL_OTHER"] == "smtps://relay.example.org:465"
    assert told["REENGAGE_AIRFLOW_URL"] == "(set)"


def test_a_store_that_lives_is_never_overwritten(backed_up: Drill) -> None:
    before = backed_up.practice.states()
    assert "it is not empty" in backed_up.restore(status=1)
    assert backed_up.practice.states() == before


def test_a_restore_that_is_repeated_changes_nothing(backed_up: Drill) -> None:
    backed_up.lose()
    assert "1 unknown" in backed_up.restore()
    # Without evidence nobody knows what left since the checkpoint: the next run is in doubt.
    assert len(backed_up.practice.rows("SELECT FROM restoration")) == 1
    entries = backed_up.practice.rows("SELECT count(*) FROM ledger_entry")
    assert "restored into this store already" in backed_up.restore()
    assert backed_up.practice.rows("SELECT count(*) FROM ledger_entry") == entries
    with create_engine(backed_up.practice.settings.store_url).connect() as connection:
        assert check_outbox(connection, HOME) == []


@pytest.mark.parametrize("name", ["store.dump", "manifest.json", "settings.json"])
def test_a_backup_that_was_altered_is_not_restored(backed_up: Drill, name: str) -> None:
    [backup] = backed_up.store.glob("[0-9]*")
    content = bytearray((backup / name).read_bytes())
    content[len(content) // 2] ^= 1
    (backup / name).write_bytes(content)
    backed_up.lose()
    told = backed_up.restore(status=1)
    assert "is not what was backed up" in told or "was altered" in told or "cannot be read" in told
    assert backed_up.practice.rows(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    ) == [{"count": 0}]


def test_a_restore_that_was_broken_off_leaves_a_store_that_nobody_writes_to(
    backed_up: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    backed_up.lose()
    with monkeypatch.context() as patched:
        patched.setattr("reengage.backup.restore.settle_restored", die)
        assert backed_up.restore(status=130)
    with pytest.raises(InternalError, match="read-only"):
        backed_up.practice.spoil("UPDATE letter SET state = 'claimed'")
    assert "1 unknown" in backed_up.restore()
    assert backed_up.practice.states() == {"unknown": 1}
    backed_up.practice.spoil("UPDATE letter SET chunk = chunk")


def test_an_archive_that_was_altered_gives_nothing_back(backed_up: Drill) -> None:
    backed_up.command("opt-out", "--patient", "p0")
    backed_up.audited()
    segment = sorted((backed_up.base / "archive" / "segments").glob("*.jsonl"))[-1]
    segment.chmod(0o600)
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b"recorded", b"recalled", 1)
    segment.write_bytes(b"".join(lines))
    backed_up.lose()
    assert "are not those that checkpoint" in backed_up.restore(status=1)
    with pytest.raises(InternalError, match="read-only"):
        backed_up.practice.spoil("UPDATE letter SET chunk = chunk")


def test_a_keyring_that_is_lost_comes_back_without_what_was_shredded(backed_up: Drill) -> None:
    keyring = backed_up.practice.settings.keyring
    shutil.rmtree(keyring)
    backed_up.lose()
    backed_up.restore()
    assert list((keyring / "runs").iterdir()) == []
    assert keyring.stat().st_mode & 0o777 == 0o700
    assert "the ledger is sound" in backed_up.command("ledger", "verify")


def test_a_backup_of_another_keyring_is_refused(backed_up: Drill) -> None:
    backed_up.lose()
    shutil.rmtree(backed_up.practice.settings.keyring)
    ensure_keyring(backed_up.practice.settings.keyring)
    assert "another keyring" in backed_up.restore(status=1)


def test_a_destroyed_key_is_destroyed_in_the_copy_and_a_lost_one_is_not(backed_up: Drill) -> None:
    keyring = backed_up.practice.settings.keyring
    for command in (("rotate", "wrap"), ("reseal",), ("destroy", "wrap", "1")):
        backed_up.command("keys", *command)
    assert (backed_up.keys / "keyring" / "wrap" / "0001.key").exists()
    assert "(1 destroyed since)" in backed_up.back_up()
    assert not (backed_up.keys / "keyring" / "wrap" / "0001.key").exists()
    [month] = (keyring / "months").glob("*.key")
    month.unlink()
    assert "restore it from" in backed_up.back_up(status=1)
    assert (backed_up.keys / "keyring" / "months" / month.name).exists()


def test_a_journal_that_lost_lines_does_not_replace_its_copy(backed_up: Drill) -> None:
    for patient in ("p0", "p1"):
        main(["opt-out", "--patient", patient])
    backed_up.back_up()
    copy = backed_up.keys / "journals" / "refusals.jsonl"
    whole = copy.read_bytes()
    journal = backed_up.practice.settings.journal_path
    journal.write_bytes(whole.splitlines(keepends=True)[1])
    assert "does not begin with what" in backed_up.back_up(status=1)
    assert copy.read_bytes() == whole


def test_the_copy_of_another_keyring_is_not_written_over(backed_up: Drill) -> None:
    """A practice begun anew, store and keyring, must not take the old dumps' keys along."""
    copied = contents(backed_up.keys)
    fresh = ensure_keyring(backed_up.base / "fresh")
    with pytest.raises(BackupError, match="is the copy of another keyring"):
        copy_aside(
            fresh, backed_up.keys, journals=[], months=[],
            checkpoints=Checkpoints(str(backed_up.base / "none")),
        )  # fmt: skip
    assert contents(backed_up.keys) == copied


def test_places_within_each_other_are_refused(site: Drill) -> None:
    within = ("--to", str(site.base / "b"), "--keys", str(site.base / "b" / "keys"))
    assert "keep dumps and keys apart" in site.command("backup", *within, status=1)
    home = ("--to", str(site.practice.settings.home / "b"), "--keys", str(site.keys))
    assert "within the project or the keyring" in site.command("backup", *home, status=1)


def test_without_an_archive_what_is_lost_to_the_ledger_is_told(
    backed_up: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REENGAGE_ARCHIVE")
    backed_up.command("opt-out", "--patient", "p0")
    backed_up.audited()
    backed_up.lose()
    told = backed_up.restore()
    assert "entries that were signed are lost to the ledger" in told
    assert "1 unknown" in told
    backed_up.command("ledger", "verify", status=1)
    with pytest.raises(StoreError, match="is not what checkpoint"):
        backed_up.practice.open(CAMPAIGN)
    backed_up.command("ledger", "restored", "--because", "disk lost")
    backed_up.practice.open(CAMPAIGN)


def test_what_was_decided_since_holds_and_every_campaign_waits_for_a_person(
    backed_up: Drill,
) -> None:
    """Neither a pause nor a rejection is undone by a restore."""
    practice = backed_up.practice
    [thing] = practice.rows("SELECT subject, sha256 FROM approval WHERE subject = 'suite/batch'")
    things = {str(thing["subject"]): str(thing["sha256"])}
    with pytest.raises(RefusedError):
        approvals.answer(
            practice.settings, things, "rejected", by="olga", reason="lets too much through",
            run_id=uuid4(),
        )  # fmt: skip
    backed_up.command("campaign", "pause", CAMPAIGN, "--because", "wrong telephone number")
    backed_up.audited()
    backed_up.lose()
    assert "decisions since: 2 taken up" in backed_up.restore()
    newest = practice.rows(
        "SELECT decision, decided_by, reason FROM approval WHERE subject = 'suite/batch'"
        " ORDER BY number DESC LIMIT 1"
    )
    assert newest == [
        {"decision": "rejected", "decided_by": "olga", "reason": "lets too much through"}
    ]
    paused = practice.rows(
        "SELECT DISTINCT ON (campaign) campaign, paused, reason FROM campaign_pause"
        " ORDER BY campaign, number DESC"
    )
    assert {str(row["campaign"]) for row in paused if row["paused"]} == {
        path.stem for path in (practice.settings.home / "campaigns").glob("*.yaml")
    }
    assert {row["campaign"]: row["reason"] for row in paused}[CAMPAIGN] == "wrong telephone number"
    with pytest.raises(UnapprovedError, match="suite/batch"):
        preflight(practice.settings, CAMPAIGN, uuid4(), "manual__test")
    assert "the ledger is sound" in backed_up.command("ledger", "verify")


def test_a_letter_that_its_reader_said_is_not_theirs_opens_for_nobody_after_a_restore(
    backed_up: Drill,
) -> None:
    practice = backed_up.practice
    practice.spoil(
        "INSERT INTO portal_message (message_id, letter_id, patient, sealed, expires_at, recipient)"
        " SELECT repeat(c, 22), letter_id, patient, 'sealed', now() + interval '9 days',"
        " recipient_id FROM letter, unnest(ARRAY['a']) AS c"
    )
    backed_up.back_up()
    [letter] = practice.rows("SELECT letter_id, recipient_id FROM letter")
    said = suppressions.Suppression(
        uuid4(), "not_me", datetime.now(UTC), recipient=str(letter["recipient_id"]),
        letter_id=letter["letter_id"],  # type: ignore[arg-type]
    )  # fmt: skip
    engine = create_engine(practice.settings.store_url)
    with engine.begin() as connection:
        suppressions.record(connection, practice.settings.suppressions_path, [said])
    engine.dispose()
    backed_up.lose()
    assert "1 letters closed at the portal" in backed_up.restore()
    [guess] = practice.rows("SELECT message_id, reported_at FROM portal_guess")
    assert guess == {"message_id": "a" * 22, "reported_at": said.at}


def test_a_journal_older_than_its_copy_stops_a_restore(backed_up: Drill) -> None:
    """A disk that is itself from a backup has forgotten what patients said since."""
    backed_up.command("opt-out", "--patient", "p0")
    backed_up.command("revoke", "--patient", "p0", "--channel", "phone")
    backed_up.back_up()
    journal = backed_up.practice.settings.journal_path
    whole = journal.read_bytes()
    journal.write_bytes(whole.splitlines(keepends=True)[0])
    backed_up.lose()
    assert "does not go on from what" in backed_up.restore(status=1)
    journal.unlink()
    backed_up.restore()
    assert journal.read_bytes() == whole
    assert backed_up.practice.rows("SELECT count(*) AS n FROM revocation") == [{"n": 1}]


def test_checkpoints_that_only_the_copy_has_are_there_after_a_restore(
    backed_up: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REENGAGE_ARCHIVE")
    place = backed_up.practice.settings.keyring / "checkpoints"
    backed_up.command("ledger", "checkpoint")
    backed_up.command("opt-out", "--patient", "p0")
    backed_up.command("ledger", "checkpoint")
    backed_up.back_up()
    newest = sorted(place.iterdir())[-1]
    first = sorted(backed_up.store.glob("[0-9]*"))[0]
    newest.unlink()
    backed_up.lose()
    told = backed_up.command("restore", str(first), "--keys", str(backed_up.keys))
    assert newest.exists()
    assert "entries that were signed are lost to the ledger" in told


def test_a_restore_writes_nothing_beside_the_dump(backed_up: Drill) -> None:
    """Storage that writes once is read only, and a link that somebody put there is not followed."""
    victim = backed_up.base / "victim"
    victim.write_text("mine", encoding="utf-8")
    [backup] = backed_up.store.glob("[0-9]*")
    (backup / ".store.dump.list").symlink_to(victim)
    backed_up.lose()
    assert "1 unknown" in backed_up.restore()
    assert victim.read_text(encoding="utf-8") == "mine"


def test_that_the_wheels_programs_speak_no_tls_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    url = "postgresql+psycopg://nobody@localhost:1/store?sslmode=verify-full"
    with pytest.raises(BackupError, match="SSL support is not compiled in"):
        programs.run("pg_dump", [], url=url, at_least=18)
