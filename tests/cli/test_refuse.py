"""Opt-outs and revocations at the desk: recorded at once, or refused with the way out."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from daily import Practice
from reengage import keys
from reengage.cli.main import main
from simulators.smtp import HostileRelay


def opted_out(practice: Practice) -> list[tuple[object, ...]]:
    found = practice.rows("SELECT patient, campaign, channel FROM opt_out ORDER BY patient")
    return [tuple(row.values()) for row in found]


# --- opt-out (EML-26) ---


def test_an_opt_out_is_recorded_once_under_the_pseudonym(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1")
    for _ in range(2):
        assert main(["opt-out", "--patient", "p1", "--channel", "phone"]) == 0
    pseudonym = keys.open_keyring(desk.settings.keyring).pseudonym("patient", "p1")
    assert opted_out(desk) == [(pseudonym, None, "phone")]
    shown = capsys.readouterr()
    assert shown.out == "recorded; it holds from the next letter on\n" * 2
    assert shown.err == ""


def test_after_an_opt_out_a_composed_letter_is_not_sent(
    desk: Practice, hostile: HostileRelay
) -> None:
    from reengage.pipeline.send import send

    desk.world.patient("p1")
    desk.world.patient("p2")
    run = desk.open("medication_reminder")
    chunks = desk.compose(run)
    assert main(["opt-out", "--patient", "p1", "--campaign", "medication_reminder"]) == 0
    for chunk in chunks:
        send(run, chunk)
    assert desk.states() == {"sent": 1, "withheld": 1}
    assert len(hostile.letters) == 1


def test_an_opt_out_of_an_unknown_patient_is_recorded_and_told(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["opt-out", "--patient", "canary"]) == 1
    assert len(opted_out(desk)) == 1
    shown = capsys.readouterr()
    assert shown.err == (
        "recorded, but the warehouse has no patient with this key; check the key for a typing"
        " error\n"
    )
    assert shown.out == ""


@pytest.mark.parametrize("url", [None, "postgresql+psycopg://u@/nosuch?host=/nowhere", "none"])
def test_an_opt_out_is_recorded_though_the_warehouse_is_out_of_reach(
    desk: Practice,
    url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if url is None:
        monkeypatch.delenv("REENGAGE_WAREHOUSE_URL")
    else:
        monkeypatch.setenv("REENGAGE_WAREHOUSE_URL", url)
    assert main(["opt-out", "--patient", "p1"]) == 1
    assert len(opted_out(desk)) == 1
    assert "recorded, but the warehouse could not be asked" in capsys.readouterr().err


def test_an_opt_out_of_a_campaign_that_does_not_exist_is_refused(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1")
    assert main(["opt-out", "--patient", "p1", "--campaign", "health-education"]) == 1
    assert opted_out(desk) == []
    assert capsys.readouterr().err == (
        "error: there is no campaign 'health-education', nothing was recorded; there are"
        " appointment_reminder, health_education, medication_reminder\n"
    )


def test_an_opt_out_of_a_broken_campaign_is_recorded(desk: Practice, here: Path) -> None:
    desk.world.patient("p1")
    (here / "campaigns" / "health_education.yaml").write_text("slug: [", encoding="utf-8")
    assert main(["opt-out", "--patient", "p1", "--campaign", "health_education"]) == 0
    assert len(opted_out(desk)) == 1


def test_an_opt_out_without_keys_is_an_error_with_the_way_out(
    desk: Practice, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REENGAGE_KEYRING", str(desk.settings.keyring / "nowhere"))
    assert main(["opt-out", "--patient", "canary"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: key file ")
    assert "restore it from the key backup" in shown
    assert "canary" not in shown
    assert opted_out(desk) == []


# --- revoke (PRV-06) ---


def revoked(practice: Practice) -> list[tuple[object, ...]]:
    found = practice.rows(
        "SELECT patient, purpose, channel, source, revoked_at FROM revocation ORDER BY received_at"
    )
    return [tuple(row.values()) for row in found]


def journal(practice: Practice) -> str:
    return practice.settings.journal_path.read_text(encoding="utf-8")


def test_a_revocation_is_recorded_under_the_pseudonym_as_of_now(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1")
    before = datetime.now(UTC)
    assert main(["revoke", "--patient", "p1", "--channel", "phone"]) == 0
    pseudonym = keys.open_keyring(desk.settings.keyring).pseudonym("patient", "p1")
    [(*found, at)] = revoked(desk)
    assert found == [pseudonym, None, "phone", "patient"]
    assert isinstance(at, datetime)
    assert before <= at <= datetime.now(UTC)
    assert capsys.readouterr().out == "recorded; it holds from the next letter on\n"


def test_a_revocation_of_a_purpose_at_an_instant_is_recorded_once(desk: Practice) -> None:
    desk.world.patient("p1")
    at = "2025-06-01T10:00:00-05:00"
    told = ["revoke", "--patient", "p1", "--purpose", "email", "--channel", "portal", "--at", at]
    assert [main(told), main(told)] == [0, 0]
    [(_, *found)] = revoked(desk)
    assert found == ["email", "portal", "patient", datetime(2025, 6, 1, 15, tzinfo=UTC)]
    assert len(journal(desk).splitlines()) == 1


def test_a_revocation_in_the_future_is_refused(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert main(["revoke", "--patient", "canary", "--channel", "desk", "--at", at]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: --at lies in the future, nothing was recorded; ")
    assert "canary" not in shown
    assert not desk.settings.journal_path.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["revoke", "--channel", "desk"], "the following arguments are required: --patient"),
        (["revoke", "--patient", "p"], "the following arguments are required: --channel"),
        (["revoke", "--patient", "p", "--channel", "dove"], "invalid choice: 'dove'"),
        (["revoke", "--patient", "p", "--channel", "desk", "--purpose", "x"], "invalid choice"),
        (["revoke", "--patient", "p", "--channel", "desk", "--at", "2025-06-01T10:00:00"],
         "write an instant like 2026-06-01T15:00:00-05:00"),
        (["revoke", "--patient", "p", "--channel", "desk", "--at", "noon"], "write an instant"),
        (["opt-out", "--patient", "p", "--channel", "portal"], "invalid choice: 'portal'"),
        (["journal"], "the following arguments are required: action"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_with_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", ["revoke", "opt-out"])
def test_the_key_may_come_on_standard_input(
    command: str,
    desk: Practice,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk.world.patient("p1")
    told = [command, "--patient", "-", "--channel", "desk"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("p1\n"))
    assert main(told) == 0
    pseudonym = keys.open_keyring(desk.settings.keyring).pseudonym("patient", "p1")
    assert pseudonym in journal(desk)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(told) == 1
    assert "error: there is no patient's key, nothing was recorded" in capsys.readouterr().err
    assert len(journal(desk).splitlines()) == 1


def test_nothing_of_a_patient_but_the_pseudonym_is_in_the_journal(desk: Practice) -> None:
    """SEC-14: it is kept for good, beside no key that could be destroyed."""
    desk.world.patient("canary", contact={"email": "canary@example.org"})
    main(["revoke", "--patient", "canary", "--channel", "letter"])
    main(["opt-out", "--patient", "canary", "--campaign", "health_education"])
    assert len(journal(desk).splitlines()) == 2
    assert "canary" not in journal(desk)
    assert "example.org" not in journal(desk)


def test_the_journal_lies_where_its_setting_says(
    desk: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_JOURNAL", str(tmp_path / "elsewhere.jsonl"))
    main(["opt-out", "--patient", "p1"])
    assert (tmp_path / "elsewhere.jsonl").stat().st_size > 0
    assert not desk.settings.journal_path.exists()


def test_a_lost_journal_records_nothing_until_it_is_mended(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    """SEC-08."""
    desk.world.patient("p1")
    assert main(["opt-out", "--patient", "p1"]) == 0
    desk.settings.journal_path.unlink()
    told = ["revoke", "--patient", "p1", "--channel", "desk"]
    assert main(told) == 1
    assert "it was lost or replaced" in capsys.readouterr().err
    assert revoked(desk) == []
    assert main(["journal", "mend"]) == 0
    assert "the store learnt of 0 refusals" in capsys.readouterr().out
    assert main(told) == 0
    assert len(journal(desk).splitlines()) == 2
