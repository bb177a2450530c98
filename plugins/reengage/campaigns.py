"""Campaigns as data: one strict YAML file each, and everything it names is there.

`load_campaigns` gives every sound campaign although others are broken; each broken one is an error
naming file, line and fix. What a field may be read from is bounded by the campaign's kind (PRV-20):
a reminder cannot be taught to name a diagnosis by editing its file. Cheap enough for the parse time
of a DAG file: no database, no pandas, no MJML.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from reengage.contract import load_contract
from reengage.delivery import Breaker, Complaints, Retry, SendWindow
from reengage.errors import ConfigurationError
from reengage.practice import time_zones
from reengage.settings import vendors_path
from reengage.templates import check_template
from reengage.variants import Variants
from reengage.vendors import load_vendors
from reengage.yamlfile import FileError, LoadedFile, Problem, load_yaml, validate

ALLOWED_COLUMNS = {
    "appointment": {"appointment.start_at", "appointment.location"},
    "refill": {"medication.name", "medication.dosage_text"},
    "month": {"patient.given_name"},
    "quarter": {"patient.given_name"},
    "year": {"patient.given_name"},
}
"""Contract columns that a letter may show, by the campaign's period (PRV-20, the product charter):
an appointment reminder date, time and location; a medication reminder name and dosage; any other
letter nothing of the patient but the salutation."""

_FORMATS = {"appointment.start_at": {"date", "time"}}


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Whole = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldRule(_Strict):
    """Where a field of the template comes from, and how it is written."""

    from_: str = Field(alias="from", description="column of the warehouse contract, view.column")
    as_: Literal["text", "date", "time"] = Field(
        "text", alias="as", description="how it is written"
    )


class Suites(_Strict):
    """Names of the Great Expectations suites in expectations/."""

    batch: Name = Field("batch", description="suite of the staged batch")
    cohort: Name = Field("cohort", description="suite of the cohort in the warehouse")
    source: Name = Field("source", description="suite of the source's freshness")
    letters: Name = Field("letters", description="suite of the finished letters")
    audience: Name | None = Field(
        "audience",
        description="suite of who was asked for; null for an audience narrower than the period's",
    )

    @model_validator(mode="after")
    def _are_distinct(self) -> Suites:
        # Each looks at other rows, and verdicts are kept by the suite's name.
        if len(set(self.names())) < len(self.names()):
            raise ValueError("each kind of rows needs a suite of its own; name different ones")
        return self

    def names(self) -> tuple[str, ...]:
        """All that there are."""
        every = (self.batch, self.cohort, self.source, self.letters, self.audience)
        return tuple(name for name in every if name)


class Caps(_Strict):
    """Limits that stop a mistake from reaching everyone."""

    letters_per_run: Whole = Field(gt=0, le=10_000_000, description="most letters in one run")
    days_between_letters: Whole = Field(
        ge=0, le=3650, description="least days between two letters of this campaign to a patient"
    )
    days_after_any_letter: Whole = Field(
        ge=0, le=365, description="least days from a letter of any other campaign; 0 = no such cap"
    )


class Campaign(_Strict):
    """One campaign: whom it asks for, what it says, when, through whom."""

    slug: str = Field(
        pattern=r"^[a-z][a-z0-9_]{2,40}$", description="its name, equal to the file's name"
    )
    title: str = Field(min_length=3, max_length=80, description="its name for people")
    title_es: str | None = Field(
        None, min_length=3, max_length=80, description="the same in Spanish; absent = `title`"
    )
    purpose: Literal["treatment", "own_service", "education", "marketing"] = Field(
        description="why it is written; decides which authorization is needed"
    )  # PRV-09: without a class there is no campaign
    paid: bool = Field(
        False, strict=True, description="whether a third party pays for it; then it is marketing"
    )
    inactive_days: Whole = Field(
        gt=0, le=3650, description="days without a visit that make inactive"
    )
    schedule: str = Field(description="cron expression, in the campaign's time zone")
    time_zone: str = Field(description="IANA time zone, e.g. America/Chicago")
    fields: dict[Name, FieldRule] = Field(
        max_length=5, description="what the template may show of a patient, and nothing else"
    )
    audience: str = Field(
        pattern=r"^[a-z][a-z0-9_]*\.sql$", description="file in sql/extract/ that asks for it"
    )
    template: Name = Field(description="folder in templates/")
    languages: tuple[Literal["en", "es"], ...] = Field(
        min_length=1, description="languages of the template; the first is the fallback"
    )
    suites: Suites = Field(description="Great Expectations suites")
    vendor: str = Field(description="who delivers, as named in vendors.yaml")
    period: Literal["appointment", "refill", "month", "quarter", "year"] = Field(
        description="one letter per patient and what: appointment, refill cycle, calendar span"
    )
    caps: Caps = Field(description="limits")
    holdout_share: float = Field(
        ge=0, le=0.5, description="share of eligible patients not written to, for comparison"
    )
    variants: Variants | None = Field(None, description="two templates, compared; null = one")
    send_window: SendWindow = Field(
        description="hours in which letters may leave, in each patient's own time zone"
    )
    letter_valid_days: Whole = Field(
        gt=0, le=60, description="days after which an unsent letter is too late"
    )
    retry: Retry = Field(Retry(), description="when a letter that was put off is tried again")
    breaker: Breaker | None = Field(
        Breaker(), description="when a run pauses itself until somebody approves; null = never"
    )
    complaints: Complaints | None = Field(
        Complaints(),
        description="when nothing more is sent until somebody has looked; null = never",
    )
    unknown_alert_days: Whole = Field(
        3, ge=0, le=60, description="days until the audit reports a letter that is still `unknown`"
    )

    @field_validator("slug")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value in ("audit", "ledger_mirror", "outcomes", "responses"):
            raise ValueError("a DAG of our own has this name; take another")
        return value

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if len(value.split()) != 5 or not croniter.is_valid(value):
            raise ValueError('expected a cron expression of five fields such as "0 9 * * *"')
        try:
            croniter(value, datetime(2024, 1, 1, tzinfo=UTC)).get_next()
        except CroniterBadDateError:
            raise ValueError("the schedule names a day that no month has; mend it") from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in time_zones():
            raise ValueError("no IANA time zone of this name; write e.g. America/Chicago")
        ZoneInfo(value)
        return value

    @property
    def dag_id(self) -> str:
        """Its DAG in Airflow."""
        return f"reengage_{self.slug}"

    def folders(self) -> dict[str | None, str]:
        """Variant -> folder in templates/; the key is None where there is one template only."""
        names = self.variants.weights if self.variants else [None]
        return {name: f"{self.template}/{name}" if name else self.template for name in names}

    def next_run(self, after: datetime) -> datetime:
        """When its schedule starts it next, after an instant in its time zone."""
        following: datetime = croniter(self.schedule, after).get_next(datetime)
        return following

    def sources(self) -> list[str]:
        """Contract columns that the fields are read from, each once, in a fixed order."""
        return sorted({rule.from_ for rule in self.fields.values()})


def load_campaign(home: Path, slug: str) -> Campaign:
    """One campaign. Raises ConfigurationError with every problem of its file."""
    return _load(home, home / "campaigns" / f"{slug}.yaml")


def load_campaigns(home: Path) -> tuple[list[Campaign], list[ConfigurationError]]:
    """Every sound campaign, and an error for each broken file, or for a missing folder."""
    directory = home / "campaigns"
    if not directory.is_dir():
        message = f"{directory} is missing; set REENGAGE_HOME to the project's root"
        return [], [ConfigurationError(message)]
    sound: list[Campaign] = []
    broken: list[ConfigurationError] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            sound.append(_load(home, path))
        except ConfigurationError as error:
            broken.append(error)
    for path in sorted(directory.glob("*.yml")):
        message = "a campaign's file must end in .yaml; rename it"
        broken.append(FileError([Problem(f"campaigns/{path.name}", 1, message)]))
    return sound, broken


def campaign_digest(campaign: Campaign) -> str:
    """SHA-256 of the campaign's content, in hex: changes exactly when the campaign does."""
    content = json.dumps(campaign.model_dump(mode="json", by_alias=True), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def schema_json() -> str:
    """JSON Schema of a campaign file, for editors."""
    schema = Campaign.model_json_schema(by_alias=True)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference_markdown() -> str:
    """The reference table of docs/campaigns.md."""
    lines = ["| key | what it is |", "|---|---|"]
    lines += _reference_rows(Campaign, "")
    return "\n".join(lines) + "\n"


def _reference_rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        rows.append(f"| `{key}` | {field.description} |")
        inner = f"{key}.<name>." if name == "fields" else f"{key}."
        nested: Any
        for nested in (field.annotation, *get_args(field.annotation)):  # `Breaker | None`, too
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                rows += _reference_rows(nested, inner)
    return rows


def _load(home: Path, path: Path) -> Campaign:
    file = load_yaml(path, shown_as=f"campaigns/{path.name}")
    campaign = validate(file, Campaign)
    problems = [*_own_problems(file, campaign, path), *_outside_problems(home, file, campaign)]
    if problems:
        raise FileError(problems)
    return campaign


def _own_problems(file: LoadedFile, campaign: Campaign, path: Path) -> list[Problem]:
    problems = []
    if campaign.slug != path.stem:
        message = (
            f"slug {campaign.slug!r} differs from the file's name {path.stem!r}; make them equal"
        )
        problems.append(file.problem(("slug",), message))
    if campaign.paid and campaign.purpose != "marketing":  # PRV-08, PRV-11
        message = (
            f"a campaign that a third party pays for is marketing, not {campaign.purpose!r};"
            " write `purpose: marketing`, or `paid: false` if nobody pays"
        )
        problems.append(file.problem(("purpose",), message))
    allowed = ALLOWED_COLUMNS[campaign.period]
    for name, rule in campaign.fields.items():
        where = ("fields", name, "from")
        if rule.from_ not in allowed:
            message = (
                f"field {name!r} reads {rule.from_!r}; a campaign of period {campaign.period!r}"
                f" may show only {', '.join(sorted(allowed))}"
            )
            problems.append(file.problem(where, message))
        elif rule.as_ not in _FORMATS.get(rule.from_, {"text"}):
            formats = " or ".join(sorted(_FORMATS.get(rule.from_, {"text"})))
            message = f"field {name!r} cannot be written as {rule.as_!r}; write `as: {formats}`"
            problems.append(file.problem(("fields", name, "as"), message))
    return problems


def _outside_problems(home: Path, file: LoadedFile, campaign: Campaign) -> list[Problem]:
    """What the campaign names and is not there."""
    problems = []
    contract = load_contract(home)
    for name, rule in campaign.fields.items():
        try:
            contract.column(rule.from_)
        except ConfigurationError as error:
            problems.append(file.problem(("fields", name, "from"), str(error)))
    if not (home / "sql" / "extract" / campaign.audience).is_file():
        message = f"sql/extract/{campaign.audience} is missing; create it or mend the name"
        problems.append(file.problem(("audience",), message))
    for kind, suite in campaign.suites.model_dump(exclude_none=True).items():
        if not (home / "expectations" / f"{suite}.json").is_file():
            message = f"expectations/{suite}.json is missing; create it or mend the name"
            problems.append(file.problem(("suites", kind), message))
    vendors = load_vendors(vendors_path(home))
    if campaign.vendor not in vendors:
        message = (
            f"vendor {campaign.vendor!r} is not in vendors.yaml, which has {', '.join(vendors)}"
        )
        problems.append(file.problem(("vendor",), message))
    if campaign.template == "portal":
        message = "templates/portal is the notice of a letter at the portal; name another template"
        problems.append(file.problem(("template",), message))
    for folder in campaign.folders().values():
        found = check_template(home, folder, campaign.languages, campaign.fields)
        problems += [file.problem(("template",), message) for message in found]
    return list(dict.fromkeys(problems))  # a fault in a part that variants share is told once
