"""Campaign files: each fault is told with file, line and fix, and hinders no other campaign."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from reengage import campaigns, yamlfile
from reengage.campaigns import (
    Campaign,
    campaign_digest,
    load_campaign,
    load_campaigns,
    schema_json,
)
from reengage.cli.reference_campaign import campaign_markdown
from reengage.errors import ConfigurationError
from reengage.settings import HOME

BROKEN = "health_education"
SOUND = ["appointment_reminder", "medication_reminder"]


def spoil(home: Path, old: str, new: str) -> None:
    path = home / "campaigns" / f"{BROKEN}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def told(home: Path) -> str:
    """The one error of the broken campaign; the others are there all the same."""
    sound, broken = load_campaigns(home)
    assert [campaign.slug for campaign in sound] == SOUND
    assert len(broken) == 1
    with pytest.raises(ConfigurationError) as error:
        load_campaign(home, BROKEN)
    assert str(error.value) == str(broken[0])
    return str(broken[0])


# --- the samples ---


@pytest.mark.parametrize(
    ("slug", "purpose", "sources"),
    [
        ("appointment_reminder", "treatment", ["appointment.location", "appointment.start_at"]),
        ("health_education", "education", ["patient.given_name"]),
        ("medication_reminder", "treatment", ["medication.dosage_text", "medication.name"]),
    ],
)
def test_the_three_of_the_mission_show_what_the_charter_allows(
    slug: str, purpose: str, sources: list[str]
) -> None:  # PRV-20
    campaign = load_campaign(HOME, slug)
    assert (campaign.purpose, campaign.sources()) == (purpose, sources)
    assert campaign.inactive_days == 180


def test_a_reminder_waits_for_no_other_campaign() -> None:
    found = {one.slug: one.caps.days_after_any_letter for one in load_campaigns(HOME)[0]}
    assert found == {"appointment_reminder": 0, "medication_reminder": 0, "health_education": 7}


def test_marketing_may_be_paid_for(home: Path) -> None:  # PRV-08, PRV-11
    assert not load_campaign(home, BROKEN).paid
    spoil(home, "purpose: education", "purpose: marketing\npaid: true")
    assert load_campaign(home, BROKEN).paid


def test_all_samples_are_sound() -> None:
    sound, broken = load_campaigns(HOME)
    assert sorted(campaign.slug for campaign in sound) == sorted([BROKEN, *SOUND])
    assert broken == []


# --- one fault each ---

FAULTS = {
    "an unknown key": ("caps:", "cap:", [18], "unknown key 'cap', did you mean 'caps'?"),
    "an unknown key within": (
        "letters_per_run", "letter_per_run", [18],
        "unknown key 'letter_per_run', did you mean 'letters_per_run'?",
    ),
    "a duplicate key": (
        "period: quarter", "period: quarter\nperiod: month", [18],
        "key 'period' is given twice; keep one",
    ),
    "a missing key": (
        "holdout_share: 0.1\n", "", [4],
        "key 'holdout_share' is missing: share of eligible patients not written to",
    ),
    "no class": (  # PRV-09
        "purpose: education\n", "", [4], "key 'purpose' is missing: why it is written",
    ),
    "no cap across campaigns": (
        ", days_after_any_letter: 7", "", [18],
        "key 'days_after_any_letter' is missing: least days from a letter of any other campaign",
    ),
    "a cap across campaigns of over a year": (
        "any_letter: 7", "any_letter: 366", [18], "should be less than or equal to 365",
    ),
    "a cap across campaigns below none": (
        "any_letter: 7", "any_letter: -1", [18], "should be greater than or equal to 0",
    ),
    "a third party pays, and it is no marketing": (
        "inactive_days: 180", "paid: true\ninactive_days: 180", [6],
        "a campaign that a third party pays for is marketing, not 'education'; write"
        " `purpose: marketing`, or `paid: false` if nobody pays",
    ),
    "an unquoted time": ('"08:00"', "08:00", [20], "08:00 is a number in base 60"),
    "an unquoted evening": ('"20:00"', "20:00", [20], "20:00 is a number in base 60"),
    "a time with an offset": (
        '"08:00"', '"08:00Z"', [20], 'send_window.opens: expected a quoted time such as "08:00"',
    ),
    "a time with seconds": ('"20:00"', '"20:00:30"', [20], "expected a quoted time"),
    "midnight as 24": ('"20:00"', '"24:00"', [20], "expected a quoted time"),
    "a window that closes first": ('"20:00"', '"07:00"', [20], "must close after it opens"),
    "a truth value": ("0.1", "no", [19], "no is true or false to YAML"),
    "a boolean for a number": (
        "inactive_days: 180", "inactive_days: true", [7],
        "inactive_days: input should be a valid integer",
    ),
    "an octal": ("inactive_days: 180", "inactive_days: 0180", [7], "drop the zero"),
    "a number as text": (
        "inactive_days: 180", "inactive_days: '180'", [7], "should be a valid integer",
    ),
    "no days": ("inactive_days: 180", "inactive_days: 0", [7], "should be greater than 0"),
    "half held out and more": ("0.1", "0.51", [19], "less than or equal to 0.5"),
    "not a number": ("0.1", ".nan", [19], "holdout_share: input should be"),
    "a slug that the audit has": (
        "slug: health_education", "slug: audit", [4],
        "a DAG of our own has this name; take another",
    ),
    "a slug unlike the file": (
        "slug: health_education", "slug: health_educations", [4],
        "slug 'health_educations' differs from the file's name 'health_education'; make them equal",
    ),
    "a slug of another form": ("slug: health_education", "slug: Health-Ed", [4], "slug: string"),
    "an unknown vendor": (
        "vendor: embedded", "vendor: mailgun", [16],
        "vendor 'mailgun' is not in vendors.yaml, which has embedded",
    ),
    "a missing template": (
        "template: health_education", "template: nosuch", [13],
        "templates/nosuch/en/subject.txt is missing; create it or mend the name",
    ),
    "a column the contract lacks": (
        "patient.given_name", "patient.surname", [11],
        "the contract's view 'patient' has no column 'surname'; it has patient_key, given_name",
    ),
    "a view the contract lacks": (
        "patient.given_name", "person.given_name", [11],
        "the contract has no view 'person'; it has appointment",
    ),
    "a column of another period": (
        "patient.given_name", "medication.name", [11],
        "field 'given_name' reads 'medication.name'; a campaign of period 'quarter' may show only"
        " patient.given_name",
    ),
    "a format the column lacks": (
        "from: patient.given_name", "from: patient.given_name, as: date", [11],
        "field 'given_name' cannot be written as 'date'; write `as: text`",
    ),
    "the field's internal name": (
        "{from: patient", "{from_: patient", [11], "unknown key 'from_', did you mean 'from'?",
    ),
    "a missing audience": (
        "audience: health_education.sql", "audience: nosuch.sql", [12],
        "sql/extract/nosuch.sql is missing; create it or mend the name",
    ),
    "an audience elsewhere": (
        "audience: health_education.sql", "audience: ../x.sql", [12], "audience: string should",
    ),
    "a missing suite": (
        "cohort: cohort", "cohort: cohrt", [15],
        "expectations/cohrt.json is missing; create it or mend the name",
    ),
    "one suite for two": (
        "source: source", "source: cohort", [15], "suites: each kind of rows needs a suite",
    ),
    "a schedule out of range": (
        "0 10 * * *", "0 25 * * *", [8], 'expected a cron expression of five fields such as "0 9',
    ),
    "a schedule by nickname": ("0 10 * * *", "@daily", [8], "expected a cron expression of five"),
    "a schedule with seconds": ("0 10 * * *", "0 0 10 * * *", [8], "expected a cron expression"),
    "a schedule that never comes": ("0 10 * * *", "0 9 30 2 *", [8], "a day that no month has"),
    "an unknown time zone": (
        "America/Chicago", "Chicago", [9],
        "time_zone: no IANA time zone of this name; write e.g. America/Chicago",
    ),
    "an unknown language": ("[en, es]", "[en, fr]", [14], "languages.1: input should be 'en' or"),
    "no language": ("[en, es]", "[]", [14], "languages: tuple should have at least 1 item"),
    "no yaml": ("fields:", "fields: [", [12], "not YAML: "),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_file_line_and_fix_and_the_others_load(home: Path, fault: str) -> None:
    old, new, lines, message = FAULTS[fault]
    spoil(home, old, new)
    found = told(home)
    (line,) = {line for line in found.splitlines() if message in line} or {found}
    assert message in line
    assert int(re.match(rf"campaigns/{BROKEN}\.yaml:(\d+): ", line)[1]) in lines  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"campaigns/{BROKEN}.yaml:1: empty, or not a mapping"),
        (b"slug: health_education\n# caf\xe9", f"campaigns/{BROKEN}.yaml:2: not UTF-8"),
        (b"slug: x\x00", f"campaigns/{BROKEN}.yaml:1: holds the control character U+0000"),
        (b"a: &a [*a]", f"campaigns/{BROKEN}.yaml:1: not YAML: an alias"),
        (b"slug: " + b"[" * 1500, f"campaigns/{BROKEN}.yaml:1: nested too deeply"),
    ],
)
def test_a_file_that_is_none_is_told_and_the_others_load(
    home: Path, content: bytes, message: str
) -> None:
    (home / "campaigns" / f"{BROKEN}.yaml").write_bytes(content)
    assert told(home).startswith(message)


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        (
            "en/body.txt", "{{ given_name }}", "{{ given_name }} {{ diagnosis }}",
            "en/body.txt:3: uses 'diagnosis', which the campaign does not declare; declare it under"
            " `fields` or remove it",
        ),
        (
            "es/body.mjml", "{{ given_name }}", "",
            "es/body.mjml does not use the declared field 'given_name'; use it, or remove it from"
            " the campaign's `fields`",
        ),
    ],
)  # fmt: skip
def test_a_template_that_disagrees_with_the_fields_is_told_with_both_files(
    home: Path, part: str, old: str, new: str, message: str
) -> None:
    path = home / "templates" / BROKEN / part
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert f"campaigns/{BROKEN}.yaml:13: templates/{BROKEN}/{message}" in told(home)


def test_a_field_called_like_something_every_template_has_is_told(home: Path) -> None:
    spoil(home, "given_name: {", "practice: {")
    assert "does not use the declared field 'practice'" in told(home)


def test_all_faults_of_a_file_are_told_together(home: Path) -> None:
    spoil(home, "vendor: embedded", "vendor: mailgun")
    spoil(home, "cohort: cohort", "cohort: cohrt")
    spoil(home, "slug: health_education", "slug: other_slug")
    lines = [int(line.split(":")[1]) for line in told(home).splitlines()]
    assert lines == [4, 15, 16]


# --- what lies in the folder and is no campaign ---


def test_a_file_that_ends_in_yml_is_told_not_passed_over(home: Path) -> None:
    (home / "campaigns" / "new.yml").write_text("slug: new", encoding="utf-8")
    sound, broken = load_campaigns(home)
    assert len(sound) == 3
    assert [str(error) for error in broken] == [
        "campaigns/new.yml:1: a campaign's file must end in .yaml; rename it"
    ]


def test_a_folder_and_a_dangling_link_are_told_and_the_others_load(home: Path) -> None:
    (home / "campaigns" / "folder.yaml").mkdir()
    (home / "campaigns" / "link.yaml").symlink_to(home / "nowhere")
    sound, broken = load_campaigns(home)
    assert len(sound) == 3
    assert [str(error) for error in broken] == [
        "campaigns/folder.yaml:1: the file cannot be read (Is a directory); make it a readable"
        " file",
        "campaigns/link.yaml:1: the file is missing; create it or mend the name",
    ]


def test_a_home_without_campaigns_is_told_rather_than_empty(tmp_path: Path) -> None:
    sound, broken = load_campaigns(tmp_path)
    assert sound == []
    assert [str(error) for error in broken] == [
        f"{tmp_path}/campaigns is missing; set REENGAGE_HOME to the project's root"
    ]


def test_a_broken_vendor_registry_stops_every_campaign_and_is_named(home: Path) -> None:
    path = home / "vendors.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("2099-12-31", "2099-02-30"), encoding="utf-8"
    )
    sound, broken = load_campaigns(home)
    assert sound == []
    assert {str(error) for error in broken} == {
        "vendors.yaml:20: 2099-02-30 is no date or number; mend it"
    }


def test_the_registry_that_the_settings_name_is_the_one_that_counts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "registry.yaml"
    elsewhere.write_text(
        "vendors:\n  - {name: acme_mail, hosts: [{host: localhost}], contact: someone}\n",
        encoding="utf-8",
    )
    spoil(home, "vendor: embedded", "vendor: acme_mail")
    assert "vendor 'acme_mail' is not in vendors.yaml, which has embedded" in told(home)
    monkeypatch.setenv("REENGAGE_VENDORS_FILE", str(elsewhere))
    assert load_campaign(home, BROKEN).vendor == "acme_mail"


def test_a_campaign_that_does_not_exist_is_told(home: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"campaigns/nosuch\.yaml:1: the file is missing"):
        load_campaign(home, "nosuch")


# --- the values ---


@pytest.mark.parametrize("period", sorted(campaigns.ALLOWED_COLUMNS))
def test_no_period_allows_more_than_the_charter(period: str) -> None:  # PRV-20
    allowed = {
        "appointment": {"appointment.start_at", "appointment.location"},
        "refill": {"medication.name", "medication.dosage_text"},
    }
    assert campaigns.ALLOWED_COLUMNS[period] == allowed.get(period, {"patient.given_name"})


def test_the_digest_changes_with_the_content_and_not_with_the_comments(home: Path) -> None:
    before = campaign_digest(load_campaign(home, BROKEN))
    spoil(home, "slug:", "# a remark\nslug:")
    assert campaign_digest(load_campaign(home, BROKEN)) == before
    spoil(home, "letters_per_run: 5000", "letters_per_run: 5001")
    assert campaign_digest(load_campaign(home, BROKEN)) != before


def test_the_schema_knows_every_key_and_refuses_others() -> None:
    schema = json.loads(schema_json())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Campaign.model_fields)
    assert set(schema["$defs"]["FieldRule"]["properties"]) == {"from", "as"}
    undescribed = [
        f"{name}.{key}"
        for name, model in {"Campaign": schema, **schema["$defs"]}.items()
        for key, value in model["properties"].items()
        if "description" not in value
    ]
    assert undescribed == []


def test_the_samples_satisfy_the_schema_that_editors_read() -> None:
    schema = json.loads(schema_json())
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for path in (HOME / "campaigns").glob("*.yaml"):
        content = yamlfile.load_yaml(path).content
        assert [error.message for error in validator.iter_errors(content)] == []
        content["send_window"]["opens"] = "8:00"
        assert len(list(validator.iter_errors(content))) == 1
    assert '"format"' not in schema_json()


def test_the_reference_table_lists_every_key() -> None:
    table = campaign_markdown()
    for key in (*Campaign.model_fields, "fields.<name>.from", "caps.letters_per_run"):
        assert f"| `{key}` |" in table
