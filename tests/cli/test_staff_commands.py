"""`campaign`, `preview` and `test-letter`: what staff decide and look at, each on record."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from daily import Practice
from reengage.cli.main import main
from reengage.ledger.entry import parse
from simulators.smtp import HostileRelay

CAMPAIGN = "appointment_reminder"
AS_OF = ("--date", "2025-06-02")
TO = "nurse@prairie.example.org"


@pytest.fixture
def told(desk: Practice, monkeypatch: pytest.MonkeyPatch) -> Practice:
    """The practice with its relay in the environment, and one patient."""
    desk.world.patient("p1")
    settings = desk.settings
    monkeypatch.setenv("REENGAGE_RELAY_URL_EMBEDDED", settings.relays["embedded"])
    monkeypatch.setenv("REENGAGE_RELAY_TRUST", str(settings.relay_trust))
    monkeypatch.setenv("REENGAGE_HOME", str(settings.home))
    assert settings.pinned_now
    monkeypatch.setenv("REENGAGE_PINNED_NOW", settings.pinned_now.isoformat())
    return desk


def records(practice: Practice) -> list[dict[str, object]]:
    found = practice.rows("SELECT entry FROM ledger_entry ORDER BY index")
    return [dict(parse(bytes(row["entry"])).body) for row in found]  # type: ignore[call-overload]


def test_a_campaign_is_paused_listed_and_resumed(
    told: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["campaign", "pause", CAMPAIGN, "--because", "wrong address in it"]) == 0
    capsys.readouterr()
    assert main(["campaign", "list", "--json"]) == 0
    shown = {one["campaign"]: one for one in json.loads(capsys.readouterr().out)}
    assert (shown[CAMPAIGN]["paused"], shown[CAMPAIGN]["reason"]) == (True, "wrong address in it")
    assert shown["health_education"]["paused"] is False
    assert main(["campaign", "pause", CAMPAIGN, "--because", "once more"]) == 1
    assert main(["campaign", "pause", "nosuch", "--because", "once more"]) == 1
    assert "there is no campaign 'nosuch'" in capsys.readouterr().err
    assert main(["campaign", "resume", CAMPAIGN, "--because", "mended"]) == 0
    assert main(["campaign", "list"]) == 0
    assert "mended" in capsys.readouterr().out
    assert [one["action"] for one in records(told)] == ["paused", "resumed"]


def test_a_preview_is_the_letter_and_names_the_reader_before_it_is_shown(
    told: Practice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", CAMPAIGN, *AS_OF, "--patient", "p1"]) == 0
    shown = capsys.readouterr().out
    assert "Clinic p1, 1 Main Street" in shown
    [record] = records(told)
    assert (record["action"], record["of"]) == ("opened", "preview")
    assert "p1" not in json.dumps(record["detail"])
    file, elsewhere = tmp_path / "letter.html", tmp_path / "elsewhere.html"
    elsewhere.write_text("read by everybody", encoding="utf-8")
    file.symlink_to(elsewhere)  # a name that somebody guessed
    assert main(["preview", CAMPAIGN, *AS_OF, "--patient", "p1", "--html", str(file)]) == 0
    assert "Clinic p1, 1 Main Street" in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o077 == 0
    assert elsewhere.read_text(encoding="utf-8") == "read by everybody"
    assert told.rows("SELECT FROM letter") == []


def test_a_preview_that_cannot_be_recorded_shows_nothing(
    told: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    told.spoil("DROP TABLE ledger_head CASCADE")
    assert main(["preview", CAMPAIGN, *AS_OF, "--patient", "p1"]) == 1
    assert "Clinic" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("patient", "said"),
    [("nosuch", "no candidate of this campaign"), ("p2", "no letter: no_authorization")],
)
def test_of_who_would_get_none_the_reasons_are_told(
    patient: str, said: str, told: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    told.world.patient("p2", authorization=None)
    assert main(["preview", CAMPAIGN, *AS_OF, "--patient", patient]) == 1
    assert said in capsys.readouterr().out
    assert len(records(told)) == 1


@pytest.mark.parametrize("campaign", [CAMPAIGN, "health_education", "medication_reminder"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_test_letter_goes_to_staff_over_verified_tls_and_is_no_disclosure(
    campaign: str,
    language: str,
    told: Practice,
    hostile: HostileRelay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test-letter", campaign, "--to", TO, "--language", language]) == 0
    assert "sent, under SAMPLE-0001, by TLSv1.3" in capsys.readouterr().out
    [letter] = hostile.letters
    message = message_from_bytes(letter.content, policy=default)
    assert message["Subject"].startswith("[TEST] ")
    assert message["To"] == TO
    assert message["DKIM-Signature"]
    found = told.rows("SELECT kind FROM ledger_entry")
    assert found == [{"kind": "access"}]
    assert told.rows("SELECT FROM letter") == []
    [record] = records(told)
    assert (record["action"], record["of"]) == ("tested", "test letter")


def test_a_test_letter_to_anybody_elses_address_is_refused(
    told: Practice, hostile: HostileRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    for address in ("p1@example.org", "x@evil.prairie.example.org.test", "nobody"):
        assert main(["test-letter", CAMPAIGN, "--to", address]) == 1
        assert "of the practice's own domains only" in capsys.readouterr().err
    assert hostile.letters == []


def test_without_an_agreement_in_force_no_test_letter_goes(
    told: Practice, hostile: HostileRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    file = told.settings.home / "vendors.yaml"
    lapsed = file.read_text(encoding="utf-8").replace("expires: 2099-12-31", "expires: 2025-06-01")
    file.write_text(lapsed, encoding="utf-8")
    assert main(["test-letter", CAMPAIGN, "--to", TO]) == 1
    assert "SAMPLE-0001" in capsys.readouterr().err
    assert hostile.letters == []
    assert records(told) == []
