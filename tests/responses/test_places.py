"""Places: a Maildir, a spool of signed events; each message once, whatever dies on the way."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mailed import Mailed
from notices import answer, complaint, dsn, unsubscribe
from reengage import suppressions
from reengage.embedded.processes import wait_until
from reengage.errors import ConfigurationError
from reengage.responses import spool
from reengage.responses.read import read
from reengage.settings import Settings
from sqlalchemy import create_engine, text
from world import NOW

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def maildir(mailed: Mailed, *messages: bytes) -> Path:
    directory = mailed.practice.settings.keyring.parent / "returns"
    (directory / "new").mkdir(parents=True, exist_ok=True)
    for message in messages:
        (directory / "new" / uuid4().hex).write_bytes(message)
    settings = replace(mailed.practice.settings, returns_maildir=directory)
    mailed.practice = replace(mailed.practice, settings=settings)
    return directory


def files(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in directory.rglob("*") if path.is_file())


# --- Maildir ---


def test_a_maildir_is_emptied_and_staff_keep_what_people_wrote(mailed: Mailed) -> None:
    p0, p1, p2 = (mailed.letters[key] for key in ("p0", "p1", "p2"))
    directory = maildir(
        mailed, dsn(p0), complaint(p1), unsubscribe(p2.token), answer(p0), unsubscribe("a" * 32)
    )
    assert read(mailed.practice.settings, "maildir") == {
        "bounce hard": 1, "complaint": 1, "opt_out opted_out": 1, "opt_out unnamed": 1, "reply": 1,
    }  # fmt: skip
    assert files(directory) == sorted([answer(p0), unsubscribe("a" * 32)])
    assert sorted(path.parent.parent.name for path in directory.rglob("*") if path.is_file()) == [
        ".Staff", ".Staff",
    ]  # fmt: skip
    assert read(mailed.practice.settings, "maildir") == {}


def test_a_link_or_a_directory_in_a_maildir_is_left_alone(mailed: Mailed, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(dsn(mailed.letters["p0"]))
    directory = maildir(mailed)
    (directory / "new" / "link").symlink_to(outside)
    (directory / "new" / "folder").mkdir()
    os.mkfifo(directory / "new" / "pipe")
    assert read(mailed.practice.settings, "maildir") == {}
    assert outside.exists()


def test_without_a_maildir_the_setting_is_named(mailed: Mailed, tmp_path: Path) -> None:
    settings = replace(mailed.practice.settings, returns_maildir=tmp_path)
    with pytest.raises(ConfigurationError, match="REENGAGE_RETURNS_MAILDIR names no Maildir"):
        read(settings, "maildir")
    assert read(mailed.practice.settings, "maildir") == {}


@pytest.mark.parametrize("replayed", [False, True], ids=["at once", "after a preflight"])
def test_who_is_killed_before_the_commit_has_done_nothing_and_who_comes_next_does_it_once(
    mailed: Mailed, replayed: bool
) -> None:
    """SIGKILL with the journal written and the rows not committed."""
    directory = maildir(mailed, dsn(mailed.letters["p0"]))
    engine = create_engine(mailed.practice.settings.store_url)
    with engine.connect() as connection:
        connection.execute(text("SELECT FROM ledger_head FOR UPDATE"))
        process = multiprocessing.get_context("fork").Process(
            target=read, args=(mailed.practice.settings, "maildir")
        )
        process.start()
        path = mailed.practice.settings.suppressions_path
        wait_until(path.exists, seconds=20, what="the journal", every=0.01)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        connection.rollback()
    if replayed:  # the row is there before its record
        with engine.begin() as connection:
            assert suppressions.replay(connection, path) == 1
    engine.dispose()
    assert mailed.practice.rows("SELECT 1 FROM response") == []
    assert len(files(directory)) == 1
    assert read(mailed.practice.settings, "maildir") == {"bounce hard": 1}
    assert (len(mailed.suppressions()), len(mailed.records()), files(directory)) == (1, 1, [])


def test_who_is_killed_after_the_commit_leaves_a_message_that_is_known(mailed: Mailed) -> None:
    content = dsn(mailed.letters["p0"])
    mailed.take(content)
    directory = maildir(mailed, content)
    assert read(mailed.practice.settings, "maildir") == {"bounce hard": 1}
    assert (len(mailed.suppressions()), len(mailed.records()), files(directory)) == (1, 1, [])


def test_a_message_whose_letter_is_not_settled_waits_in_its_place(mailed: Mailed) -> None:
    letter = mailed.letters["p0"]
    mailed.practice.spoil(
        f"UPDATE letter SET state = 'attempted' WHERE letter_id = '{letter.letter_id}'"
    )
    directory = maildir(mailed, dsn(letter))
    assert read(mailed.practice.settings, "maildir") == {"bounce under_way": 1}
    assert files(directory) == [dsn(letter)]


# --- signed events ---


def event(**changes: Any) -> dict[str, Any]:
    body = json.dumps({
        "type": changes.pop("type", "failed"), "letter": changes.pop("letter"),
        "status": "5.1.1", "diagnostic": "550 user unknown",
        **changes.pop("body", {}),
    })  # fmt: skip
    said = {"vendor": "embedded", "id": "evt_00000001", "timestamp": int(NOW.timestamp())}
    said |= changes
    signed = spool.signature(SECRET, str(said["id"]), said["timestamp"], body)
    return {"body": body, "signature": signed, **said}


@pytest.fixture
def spooled(mailed: Mailed, tmp_path: Path) -> Settings:
    (tmp_path / "spool").mkdir()
    return replace(
        mailed.practice.settings,
        returns_spool=tmp_path / "spool",
        webhook_secrets={"embedded": SECRET, "other": SECRET},
    )


def put(settings: Settings, said: object) -> Path:
    assert settings.returns_spool
    path = settings.returns_spool / f"{uuid4().hex}.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    return path


def test_a_signed_event_does_what_a_notice_does(mailed: Mailed, spooled: Settings) -> None:
    path = put(spooled, event(letter={"envid": mailed.letters["p0"].envid}))
    complained = event(
        letter={"message_id": mailed.letters["p1"].message_id}, type="complained", id="evt_00000002"
    )
    put(spooled, complained)
    assert read(spooled, "spool") == {"bounce hard": 1, "complaint": 1}
    assert not path.exists()
    assert [row["reason"] for row in mailed.suppressions()] == ["complaint", "hard_bounce"]


def test_a_replay_of_an_event_changes_nothing(mailed: Mailed, spooled: Settings) -> None:
    said = event(letter={"envid": mailed.letters["p0"].envid})
    for _ in range(2):
        put(spooled, said)
        read(spooled, "spool")
    assert (len(mailed.suppressions()), len(mailed.records())) == (1, 1)


def test_a_vendor_speaks_of_its_own_letters_only(mailed: Mailed, spooled: Settings) -> None:
    put(spooled, event(letter={"envid": mailed.letters["p0"].envid}, vendor="other"))
    assert read(spooled, "spool") == {"bounce contradictory": 1}
    assert mailed.suppressions() == []


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "v1,AAAA"},
        {"signature": "v1a,AAAA"},
        {"signature": ""},
        {"id": "evt_00000001.1"},
        {"id": ""},
        {"vendor": "nobody"},
        {"vendor": "../embedded"},
        {"timestamp": int((NOW - timedelta(days=8)).timestamp())},
        {"timestamp": int((NOW + timedelta(hours=1)).timestamp())},
        {"timestamp": 10**30},
        {"timestamp": "1748883600"},
        {"timestamp": True},
    ],
)
def test_an_event_that_does_not_hold_is_put_aside_and_counted(
    mailed: Mailed, spooled: Settings, change: dict[str, Any]
) -> None:
    said = event(letter={"envid": mailed.letters["p0"].envid})
    resigned = {"timestamp"} & set(change) and isinstance(change["timestamp"], int)
    if resigned and abs(change["timestamp"]) < 10**12 and change["timestamp"] is not True:
        said = event(letter={"envid": mailed.letters["p0"].envid}, **change)
    path = put(spooled, {**said, **change})
    assert read(spooled, "spool") == {"refused": 1}
    assert (path.parent / "refused" / path.name).exists()
    assert mailed.suppressions() == []
    assert read(spooled, "spool") == {}


@pytest.mark.parametrize("said", ["", "{", "[]", "null", "[" * 100_000, '{"vendor": "embedded"}'])
def test_a_file_that_is_no_event_is_put_aside(spooled: Settings, said: str) -> None:
    put(spooled, said)
    assert read(spooled, "spool") == {"refused": 1}


def test_a_body_that_was_changed_holds_no_longer(mailed: Mailed, spooled: Settings) -> None:
    said = event(letter={"envid": mailed.letters["p0"].envid})
    put(spooled, {**said, "body": said["body"].replace("failed", "delayed")})
    assert read(spooled, "spool") == {"refused": 1}


def test_a_secret_that_is_too_short_is_refused_without_being_told(spooled: Settings) -> None:
    weak = replace(spooled, webhook_secrets={"embedded": "whsec_Y2FuYXJ5"})
    with pytest.raises(ConfigurationError, match="REENGAGE_WEBHOOK_SECRET_EMBEDDED") as raised:
        read(weak, "spool")
    assert "Y2FuYXJ5" not in str(raised.value)
