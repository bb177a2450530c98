"""The command line: what is printed, where, and the exit status that a script sees."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from daily import Practice
from databases import Makes
from reengage.cli import commands, generated
from reengage.cli.main import main, parser
from reengage.settings import HOME
from sqlalchemy import create_engine

# --- wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["frob"], "invalid choice: 'frob'"),
        (["report", "--as-of", "yesterday"], "write a day as YYYY-MM-DD"),
        (["report", "--as-of", "2026-02-30"], "write a day as YYYY-MM-DD"),
        (["sample", "x", "--patients", "0"], "expected a number of 1 or more"),
        (["opt-out"], "the following arguments are required: --patient"),
        (["opt-out", "--patient", "p", "--channel", "dove"], "invalid choice: 'dove'"),
        (["warehouse", "burn"], "invalid choice: 'burn'"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    shown = capsys.readouterr()
    assert stopped.value.code == 2
    assert told in shown.err
    assert shown.out == ""


def test_the_command_line_works_from_the_root_with_no_variable_set() -> None:
    unset = ("REENGAGE_", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    done = subprocess.run(
        [sys.executable, "-m", "reengage", "--help"],
        env=env, cwd=HOME, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("run", "ui", "down", "clean", "report", "sample", "opt_out", "check"):
        assert f"\n    {command} " in done.stdout


# --- report ---


@pytest.mark.long
def test_report_as_a_process_prints_one_object_per_campaign(
    practice: Practice, tmp_path: Path
) -> None:
    practice.world.patient("p1")
    practice.world.patient("p2", contact={"verified_at": None})
    run = practice.open("medication_reminder")
    practice.extracted(run)
    env = {name: value for name, value in os.environ.items() if not name.startswith("REENGAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "reengage", "report", "--json"],
        env={
            **env,
            "REENGAGE_STORE_URL": practice.settings.store_url,
            "REENGAGE_KEYRING": str(practice.settings.keyring),
            "REENGAGE_ACTOR": "Ada Reed",
            "PYTHONPATH": str(HOME / "plugins"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    assert list(found) == [
        "campaign", "as_of", "living", "inactive", "candidates", "excluded", "eligible", "held_out",
        "withheld", "sent", "refused", "deferred", "unknown", "seconds", "pending",
    ]  # fmt: skip
    assert found["campaign"] == "medication_reminder"
    assert found["as_of"] == "2025-06-02"
    assert found["excluded"] == {"address_unverified": 1}
    assert (found["candidates"], found["eligible"], found["pending"]) == (2, 1, 1)
    [entry] = practice.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
        " WHERE kind = 'access'"
    )
    body = dict(entry["body"])  # type: ignore[call-overload]
    assert (body["actor"], body["action"], body["of"]) == ("Ada Reed", "opened", "report")
    assert body["detail"]["days"] == ["2025-06-02"]


def test_report_of_an_empty_store_says_what_to_do(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report"]) == 0
    assert capsys.readouterr().out == "No run yet: `make run` makes one.\n"
    assert main(["report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["report", "--as-of", "2025-06-01"]) == 0
    assert capsys.readouterr().out.startswith("No run for 2025-06-01")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:canary@/nosuch?host=/nowhere",
        "canary",
        "postgresql+nosuch://u:canary@h/d",
    ],
)
def test_a_store_that_does_not_answer_is_told_without_its_password(
    here: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", url)
    assert main(["report"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert "REENGAGE_STORE_URL" in shown.err
    assert "canary" not in shown.err
    assert shown.out == ""


def test_a_store_that_was_never_migrated_is_told(
    here: Path,
    database: Makes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", database(None))
    assert main(["report"]) == 1
    assert "migrated" in capsys.readouterr().err


# --- check ---


def test_check_of_sound_files_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "3 campaigns and all that they name are sound\n"
    assert shown.err == ""


def test_check_prints_every_problem_once_on_stderr(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(path: str, old: str, new: str) -> None:
        file = here / path
        content = file.read_text(encoding="utf-8")
        assert old in content
        file.write_text(content.replace(old, new, 1), encoding="utf-8")

    spoil("campaigns/health_education.yaml", "vendor: embedded", "vendor: mailgun")
    spoil("campaigns/health_education.yaml", "caps:", "cap:")
    spoil("campaigns/appointment_reminder.yaml", "0 9 * * *", "daily")
    spoil("practice.yaml", "phone: ", "fone: ")
    spoil("expectations/letters.json", '"critical"', '"fatal"')
    spoil("templates/medication_reminder/en/body.mjml", "<mj-text", "<mj-txt")
    assert main(["check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    for place in (
        "campaigns/appointment_reminder.yaml:8: schedule: expected a cron expression",
        "campaigns/health_education.yaml:18: unknown key 'cap', did you mean 'caps'?",
        "practice.yaml:6: unknown key 'fone', did you mean 'phone'?",
        "expectations/letters.json: expectations.0.severity: input should be",
        "templates/medication_reminder/en/body.mjml",
    ):
        assert shown.err.count(place) == 1


def test_check_tells_a_broken_vendor_registry_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "vendors.yaml").write_text("vendors: [", encoding="utf-8")
    assert main(["check"]) == 1
    assert capsys.readouterr().err.count("vendors.yaml:1: not YAML") == 1


# --- warehouse check ---


def test_warehouse_check_of_a_sound_warehouse_says_so(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1")
    assert main(["warehouse", "check"]) == 0
    assert "as the contract says" in capsys.readouterr().out


def test_warehouse_check_names_what_is_missing_on_stderr(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.execute("ALTER TABLE contract.contact DROP COLUMN verified_at")
    assert main(["warehouse", "check"]) == 1
    shown = capsys.readouterr()
    assert "contract.contact.verified_at: " in shown.err
    assert "as the contract says" not in shown.out


# --- generate ---


def test_generate_check_is_red_when_a_file_is_stale_and_generate_mends_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate"]) == 0
    assert main(["generate", "--check"]) == 0
    assert capsys.readouterr().err == ""
    (here / "campaigns" / "campaign.schema.json").write_text("{}", encoding="utf-8")
    (here / "docs" / "warehouse-contract.md").unlink()
    page = here / "docs" / "reference" / "campaign-file.md"
    sound = page.read_text(encoding="utf-8")
    page.write_text(sound.replace("| `slug` |", "| `slag` |"), encoding="utf-8")
    assert main(["generate", "--check"]) == 1
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "campaigns/campaign.schema.json is out of date; run `make fix`",
        "docs/reference/campaign-file.md is out of date; run `make fix`",
        "docs/warehouse-contract.md is out of date; run `make fix`",
    ]
    assert page.read_text(encoding="utf-8") != sound
    assert main(["generate"]) == 0
    assert main(["generate", "--check"]) == 0
    assert page.read_text(encoding="utf-8") == sound


def test_the_files_of_this_checkout_are_current() -> None:
    stale = [
        path.name
        for path, content in generated.files(HOME, parser()).items()
        if path.read_text(encoding="utf-8") != content
    ]
    assert stale == []


# --- sample ---


def test_sample_writes_the_patients_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(tmp_path / "x"), "--patients", "3", "--seed", "1"]) == 0
    lines = (tmp_path / "x" / "patients.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert capsys.readouterr().out.startswith("3 patients written to")


# --- interrupted ---


def test_an_interrupted_command_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "check", interrupted)
    assert main(["check"]) == 130
    assert capsys.readouterr().err == "stopped\n"


# --- errors that nobody foresaw ---


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.DataError("canary.4711"), "a database did not answer as expected (DataError)"),
        (ValueError("canary.4711"), "unforeseen ValueError at main.py:"),
    ],
    ids=["driver", "other"],
)
def test_an_error_that_may_quote_a_row_ends_as_one_line_without_its_text(
    error: Exception,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(_: object) -> int:
        raise error

    monkeypatch.setattr(commands, "report", fails)
    assert main(["report"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    assert line.startswith(f"error: {told}")
    assert "canary" not in line


def test_a_keyring_is_made_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "make"]) == 0
    made = capsys.readouterr().out
    assert made.startswith("the keyring was made: ")
    keyring = Path(made.strip().partition(": ")[2])
    before = sorted((path, path.read_bytes()) for path in keyring.rglob("*.key"))
    assert main(["keys", "make"]) == 0
    assert capsys.readouterr().out == f"the keyring was there already: {keyring}\n"
    assert sorted((path, path.read_bytes()) for path in keyring.rglob("*.key")) == before


def test_a_keyring_that_lost_a_key_is_not_made_anew(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "make"]) == 0
    keyring = Path(capsys.readouterr().out.strip().partition(": ")[2])
    (keyring / "pseudonym" / "0001.key").unlink()
    assert main(["keys", "make"]) == 1
    assert not (keyring / "pseudonym" / "0001.key").exists()


def test_a_campaign_that_is_none_is_told_before_anything_starts(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--campaign", "nosuch"]) == 1
    assert "campaigns/nosuch.yaml:1: the file is missing" in capsys.readouterr().err
    assert not (here / "var").exists()


def test_the_views_that_are_printed_are_those_of_the_contract(
    here: Path,
    database: Makes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["warehouse", "views"]) == 0
    views = re.sub("CREATE ROLE.*;", "", capsys.readouterr().out)  # the server has it, or not
    url = database(None)
    engine = create_engine(url)
    with engine.begin() as connection:
        # With a log-in, as other tests of this server want it.
        connection.exec_driver_sql(
            "DO $$ BEGIN CREATE ROLE extractor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        connection.exec_driver_sql(views)
    engine.dispose()
    monkeypatch.setenv("REENGAGE_WAREHOUSE_URL", url)
    assert main(["warehouse", "check"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("contract.load")
