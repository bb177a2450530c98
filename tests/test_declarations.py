"""Minimum necessary by construction: a campaign's `fields` are the one declaration of what is read,
staged, sealed and shown of a patient (PRV-18, PRV-19, PRV-20).

Five places are compared: the template's placeholders, the campaign, the columns of the statement's
answer, those of the staged rows, and what the vendor gets: the fields that a letter is sealed with,
each seen in the finished message, which otherwise reads the same for everybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from daily import Practice, dry_practice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reengage import staging
from reengage.campaigns import FieldRule, load_campaign
from reengage.contract import load_contract
from reengage.embedded.home import copy_home
from reengage.embedded.postgres import Postgres
from reengage.errors import LetterError
from reengage.pipeline import extract as extraction
from reengage.pipeline import letter as composition
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.asking import asking
from reengage.pipeline.composing import identity_of, links_of
from reengage.pipeline.extract import ENVELOPE
from reengage.pipeline.letter import write_letters
from reengage.pipeline.run import Run
from reengage.pipeline.seal import Sealed
from reengage.settings import HOME
from reengage.templates import load_template
from sqlalchemy import text

CAMPAIGNS = sorted(path.stem for path in (HOME / "campaigns").glob("*.yaml"))
DECIDED = {"reasons", "evidence", "authorization_duplicate"}
"""What the statement gives for the decision; `decide` takes it off before a row is staged."""
STRANGER = "not declared"


@pytest.fixture(scope="module")
def clinic(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """Two patients for each campaign: with a booking and a prescription, and without a booking."""
    with dry_practice(server, tmp_path_factory.mktemp("declarations")) as practice:
        for key in ("booked1", "booked2"):
            practice.world.patient(key)
        for key in ("free1", "free2"):
            practice.world.patient(key, appointment=None)
        yield practice


# --- the five places ---


def of_template(run: Run) -> set[str]:
    """Sources of the placeholders; a placeholder that the campaign does not have, by its name."""
    rules, home = run.campaign.fields, run.settings.home
    used = {
        name
        for language in run.campaign.languages
        for name in load_template(home, run.campaign.template, language).variables
    }
    return {rules[name].from_ if name in rules else name for name in used}


def of_select(run: Run) -> set[str]:
    """Columns of the statement's answer, beyond the envelope and the decision."""
    statement = extraction.candidate_statement(run.campaign, run.contract, run.settings.home)
    with run.warehouse.connect() as connection:
        asked = text(f"SELECT * FROM ({statement}) AS answer LIMIT 0")
        columns = connection.execute(asked, asking(run)).keys()
    return set(columns) - DECIDED - set(ENVELOPE)


def staged(run: Run) -> list[dict[str, Any]]:
    """The rows of the batch, opened."""
    with run.store.connect() as connection:
        numbers = staging.part_numbers(connection, run.run_id)
        return [
            row for part in staging.read_parts(connection, run.data_key, numbers) for row in part
        ]


def letters(run: Run) -> dict[str, Addressed]:
    """The composed letters, opened, by what makes each unique."""
    with run.store.connect() as connection:
        found = connection.execute(
            text("SELECT campaign, patient, period, sealed FROM letter WHERE run_id = :r"),
            {"r": run.run_id},
        ).all()
    names = {identity_of(row.campaign, row.patient, row.period): row.sealed for row in found}
    return {
        name: Addressed.from_bytes(run.data_key.open(sealed, bound_to=f"letter/{name}"))
        for name, sealed in names.items()
    }


def shown(letter: Addressed) -> str:
    """What a reader of the message sees: subject and every part, decoded."""
    message = message_from_bytes(letter.message, policy=SMTP)
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]  # type: ignore[attr-defined]
    return "\n".join([str(message["Subject"]), *parts])


def of_payload(run: Run) -> set[str]:
    """Sources of the fields that the vendor gets to see, and whether it sees anything else."""
    rules, found, skeletons = run.campaign.fields, set[str](), set[str]()
    for identity, letter in letters(run).items():
        page = shown(letter)
        for name, value in sorted(letter.declared.items(), key=lambda one: -len(one[1])):
            if value in page:
                found.add(rules[name].from_ if name in rules else name)
            page = page.replace(value, f"<{name}>")
        for link in links_of(run, identity).shown().values():
            token = re.split(r"[/=:+@]", link.partition("@")[0])[-1]
            page = page.replace(token, "<token>")
        skeletons.add(page)
    return found if len(skeletons) <= 1 else found | {STRANGER}


def write(practice: Practice, run: Run) -> None:
    """Compose the run's letters, to everyone."""
    chunks = practice.planned(run)
    with run.store.begin() as connection:
        connection.execute(text("UPDATE decision SET arm = 'write' WHERE arm IS NOT NULL"))
    for chunk in chunks:
        write_letters(run, chunk)


def five(practice: Practice, run: Run) -> dict[str, set[str]]:
    """What each of the five places declares, as columns of the contract."""
    with suppress(LetterError):  # where the places differ, the composer may refuse before us
        write(practice, run)
    columns = {frozenset(row) - set(ENVELOPE) for row in staged(run)}
    assert len(columns) == 1
    return {
        "template": of_template(run),
        "campaign": set(run.campaign.sources()),
        "select": of_select(run),
        "staged": set(next(iter(columns))),
        "payload": of_payload(run),
    }


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_five_places_declare_the_same(campaign: str, clinic: Practice) -> None:
    """PRV-18, PRV-19, PRV-20."""
    run = clinic.open(campaign, dry=True)
    places = five(clinic, run)
    assert len(letters(run)) >= 2  # else nothing would be compared
    declared = {rule.from_ for rule in run.campaign.fields.values()}
    assert places == dict.fromkeys(places, declared)


# --- each of the five, broken ---

Break = Callable[[Run, Path, pytest.MonkeyPatch], Run]
EXTRA = "patient.zip"


def in_template(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    copy_home(HOME, home)
    body = home / "templates" / run.campaign.template / "en" / "body.txt"
    body.write_text(body.read_text(encoding="utf-8") + "\n{{ diagnosis }}\n", encoding="utf-8")
    return replace(run, settings=replace(run.settings, home=home))


def in_campaign(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    fields = {**run.campaign.fields, "zip": FieldRule.model_validate({"from": EXTRA})}
    return replace(run, campaign=run.campaign.model_copy(update={"fields": fields}))


def in_select(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    sound = extraction.candidate_statement

    def asks_for_more(*given: Any) -> str:
        return (
            f"SELECT s.*, '68102' AS \"{EXTRA}\" FROM ({sound(*given)}) AS s ORDER BY patient_key"
        )

    monkeypatch.setattr(extraction, "candidate_statement", asks_for_more)
    return run


def in_staged(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    sound = staging.write_part

    def stages_more(sink: Any, key: Any, part: int, rows: list[dict[str, Any]]) -> None:
        sound(sink, key, part, [{**row, EXTRA: "68102"} for row in rows])

    monkeypatch.setattr(staging, "write_part", stages_more)
    return run


def shows_more(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    sound = composition.seal_letter

    def tells(of: Run, wording: Any, declared: Any, recipient: str, *rest: Any) -> Sealed:
        sealed = sound(of, wording, declared, recipient, *rest)
        more = f"<!-- {recipient} --></body>".encode()
        return replace(sealed, message=sealed.message.replace(b"</body>", more))

    monkeypatch.setattr(composition, "seal_letter", tells)
    return run


def shows_less(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    sound = composition.seal_letter

    def withholds(of: Run, wording: Any, declared: Any, *rest: Any) -> Sealed:
        return sound(of, wording, {**declared, "given_name": "you"}, *rest)

    monkeypatch.setattr(composition, "seal_letter", withholds)
    return run


NAME = "patient.given_name"


@pytest.mark.parametrize(
    ("broken", "differing"),
    [
        (in_template, {"template": {NAME, "diagnosis"}, "payload": set()}),
        (in_campaign, {"campaign": {NAME, EXTRA}, "select": {NAME, EXTRA},
                       "staged": {NAME, EXTRA}, "payload": set()}),
        (in_select, {"select": {NAME, EXTRA}, "staged": {NAME, EXTRA}, "payload": set()}),
        (in_staged, {"staged": {NAME, EXTRA}, "payload": set()}),
        (shows_more, {"payload": {NAME, STRANGER}}),
        (shows_less, {"payload": set()}),
    ],
)  # fmt: skip
def test_a_place_that_declares_something_else_is_named_and_writes_no_letter(
    broken: Break,
    differing: dict[str, set[str]],
    clinic: Practice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PRV-18: the comparison above sees each; the composer refuses those before it."""
    run = broken(clinic.open("health_education", dry=True), tmp_path / "home", monkeypatch)
    places = five(clinic, run)
    assert {place: found for place, found in places.items() if found != {NAME}} == differing


# --- a random column anywhere upstream ---

VIEWS = ("patient", "contact", "visit", "appointment", "medication", "authorization")
COLUMNS = {view.name: {c.name: c.type for c in view.columns} for view in load_contract(HOME).views}
DECIDING = {"language", "time_zone", "status", "purpose", "confidential_channel", "email",
            "confidential_email", "sensitive_class", "representative_key", "state",
            "smime_certificate"}  # fmt: skip
"""Text columns that decide whom to write to and how; a random value there rightly ends that."""
SHOWN = {
    rule.from_ for campaign in CAMPAIGNS for rule in load_campaign(HOME, campaign).fields.values()
}
CANARY = "ĞƵǅϞЖҨݓ"

OTHERS = sorted(
    f"{view}.{name}"
    for view in VIEWS
    for name, kind in COLUMNS[view].items()
    if kind == "text" and not name.endswith("_key") and name not in DECIDING
    and f"{view}.{name}" not in SHOWN
)  # fmt: skip
"""Text columns that no campaign declares."""

# Also the names of another view's columns and of what letters show: a statement that leaves out the
# view's name would read these.
NAMES = st.one_of(
    st.sampled_from(sorted({name for columns in COLUMNS.values() for name in columns})),
    st.sampled_from(["diagnosis", "ssn", "note", "date", "time", "dosage", "recipient", "reasons"]),
    st.from_regex(r"\A[a-z_]{1,20}\Z"),
)


@st.composite
def extras(draw: st.DrawFn) -> set[tuple[str, str]]:
    """Columns, by view, that the contract does not have."""
    drawn = draw(st.sets(st.tuples(st.sampled_from(VIEWS), NAMES), min_size=4, max_size=12))
    return {(view, name) for view, name in drawn if name not in COLUMNS[view]}


@contextmanager
def upstream(
    practice: Practice, columns: set[tuple[str, str]], values: list[str]
) -> Iterator[None]:
    """The warehouse with these columns more and these columns overwritten, all of them canaries."""
    fields = [one.split(".") for one in values]
    kept = "".join(f'CREATE TABLE kept_{v} AS TABLE contract."{v}";' for v in VIEWS)
    more = "".join(
        f'ALTER TABLE contract."{v}" ADD "{n}" text DEFAULT \'{CANARY}\';'
        for v, n in sorted(columns)
    )
    over = "".join(f'UPDATE contract."{v}" SET "{n}" = \'{CANARY}\';' for v, n in fields)
    less = "".join(f'ALTER TABLE contract."{v}" DROP "{n}";' for v, n in sorted(columns))
    back = "".join(
        f'DELETE FROM contract."{v}"; INSERT INTO contract."{v}" TABLE kept_{v};'
        f" DROP TABLE kept_{v};"
        for v in VIEWS
    )
    practice.world.execute(kept + more + over)
    try:
        yield
    finally:
        practice.world.execute(less + back)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(CAMPAIGNS),
    extras(),
    st.lists(st.sampled_from(OTHERS), max_size=8, unique=True),
)
def test_a_random_column_upstream_reaches_no_staged_row_and_no_letter(
    clinic: Practice, campaign: str, columns: set[tuple[str, str]], values: list[str]
) -> None:
    """PRV-18, PRV-20."""
    with upstream(clinic, columns, values):
        run = clinic.open(campaign, dry=True)
        write(clinic, run)
        rows, found = staged(run), letters(run)
    assert len(rows) == len(found) >= 2
    assert CANARY not in json.dumps(rows, default=str, ensure_ascii=False)
    for letter in found.values():
        head = json.loads(letter.to_bytes().partition(b"\n")[0])
        assert CANARY not in json.dumps(head, ensure_ascii=False)
        assert CANARY not in shown(letter)
        assert CANARY not in letter.message.decode("ascii")
        assert all(value in shown(letter) for value in letter.declared.values())


def test_the_canary_is_seen_where_it_is_declared(clinic: Practice) -> None:
    """Else the property above could not fail."""
    with upstream(clinic, set(), [NAME]):
        run = clinic.open("health_education", dry=True)
        write(clinic, run)
        assert all(CANARY in shown(letter) for letter in letters(run).values())
        assert CANARY in json.dumps(staged(run), default=str, ensure_ascii=False)


# --- nothing whole, nothing that has no place ---


def test_no_statement_pulls_whole_records_of_a_view() -> None:
    """PRV-19."""
    whole = []
    ours = [HOME / "sql" / folder for folder in ("extract", "gate", "outbox", "reports")]
    for path in sorted(file for folder in ours for file in folder.rglob("*.sql")):
        statement = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
        views = re.findall(r'\bcontract\."?\w+"?(?:\s+AS)?\s+(\w+)', statement)
        if re.search(r"\bSELECT\s+(?:DISTINCT\s+)?\*", statement, re.IGNORECASE) or any(
            re.search(rf"\b{name}\.\*", statement) for name in views
        ):
            whole.append(str(path.relative_to(HOME)))
    assert whole == []


def test_no_view_has_a_place_for_notes_or_diagnoses() -> None:
    """PRV-28: psychotherapy notes cannot reach what has no column for them."""
    places = [f"{view}.{name}" for view, columns in COLUMNS.items() for name in columns]
    told = re.compile(r"note|diagnos|therap|comment|narrative|complaint|condition(?!ing|ed)|icd")
    assert [place for place in places if told.search(place.replace("notice_", ""))] == []
