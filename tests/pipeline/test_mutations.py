"""The extraction without any one of its predicates: the gate turns red, or the extraction refuses.

Every predicate of the statements that the campaigns' extractions are composed of, found by
PostgreSQL's own parser; one warehouse that holds all cases of the case table. What a mutant would
stage is held against the facts that the gate's own SQL tells of it, and its counts against those
that this SQL finds, as the suites `batch`, `cohort` and `audience` do. A mutant that only names
another reason lets nobody in or out: those are listed, and the case table must notice each.
`make mutations` has every mutant go through the real extraction and the real gate instead.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from daily import Practice, dry_practice
from eligibility import APPOINTMENT, EDUCATION, MEDICATION, PAID, UNPAID, fill, home_of_cases
from eligibility_people import CASES
from mutation import Mutant, mutants, printed
from reengage.embedded import postgres
from reengage.errors import ConfigurationError, GateError, ReengageError
from reengage.pipeline import extract as room
from reengage.pipeline.asking import asking
from reengage.pipeline.decide import _prepared
from reengage.pipeline.extract import candidate_statement, extract
from reengage.pipeline.gate import KINDS, gate
from reengage.pipeline.run import Run
from reengage.practice import is_address
from reengage.sql import load_sql
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from world import NOW

CAMPAIGNS = (PAID, MEDICATION, APPOINTMENT, UNPAID, EDUCATION)
SUBJECT = ("patient_key", "recipient", "authorization_key", "appointment_key", "medication_key")
NEEDED = ("recipient", "authorization_key")

TOLD = "told otherwise"

Row = dict[str, Any]


@dataclass
class Trial:
    """A campaign's day, on which mutants are tried."""

    run: Run
    source: Connection
    session: Connection
    statement: str
    asked: dict[str, Any]
    rows: list[Row]
    counts: tuple[int, int]
    facts: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    """Those with nothing against them by the gate's SQL."""

    @classmethod
    def open(cls, practice: Practice, campaign: str, stack: ExitStack) -> Trial:
        run = practice.open(campaign, dry=True)
        statement = candidate_statement(run.campaign, run.contract, run.settings.home)
        source, session = (stack.enter_context(run.warehouse.connect()) for _ in range(2))
        asked = {**asking(run), "kind": KINDS.get(run.campaign.period, "calendar")}
        trial = cls(run, source, session, statement, asked, [], (0, 0))
        trial.rows = trial.extracted(statement)
        trial.counts = trial._expected()
        return trial

    def extracted(self, statement: str) -> list[Row]:
        """Refuses a candidate who comes twice, as `extract` does."""
        found: list[Row] = []
        try:
            for row in self.source.execute(text(statement), self.asked).mappings():
                if found and found[-1]["patient_key"] == row["patient_key"]:
                    raise RefusedError
                found.append(dict(row))
        except SQLAlchemyError:
            raise RefusedError from None
        finally:
            self.source.rollback()
        return found

    def _expected(self) -> tuple[int, int]:
        """Candidates, and those with nothing against them, as the gate's SQL finds them."""
        home = self.run.settings.home
        for question in ("session", "expected", "cohort"):
            self.session.execute(text(load_sql(home, f"gate/{question}.sql")), self.asked)
        told = self.session.execute(text("SELECT * FROM cohort")).mappings().all()
        self.facts = tuple(name for name in told[0] if name not in ("patient_key", "staged"))
        right = [row["patient_key"] for row in told if all(row[fact] for fact in self.facts)]
        self.allowed = frozenset(right)
        return len(told), len(right)

    def verdict(self, statement: str) -> str:
        """What becomes of a mutant's extraction; empty when nobody would notice."""
        try:
            rows = self.extracted(statement)
        except RefusedError:
            return "refused"
        counts = len(rows), sum(not row["reasons"] for row in rows)
        if counts != self.counts:
            return "audience"
        try:
            staged, usual = _staged(self.run, rows), _staged(self.run, self.rows)
        except ConfigurationError:
            return "refused"
        if missing := {name for row in staged for name in NEEDED if row[name] is None}:
            return f"batch {' '.join(sorted(missing))}"
        if staged != usual and (wrong := self._wrong(staged)):
            return f"cohort {' '.join(wrong)}"
        return TOLD if rows != self.rows else ""

    def _wrong(self, staged: list[Row]) -> list[str]:
        """Facts that are not so of somebody staged."""
        self.session.execute(text("TRUNCATE subject, cohort"))
        self.session.execute(
            text(
                "INSERT INTO subject VALUES (:patient_key, true, :recipient, :authorization_key,"
                " :appointment_key, :medication_key)"
            ),
            [{name: row[name] for name in SUBJECT} for row in staged],
        )
        statement = load_sql(self.run.settings.home, "gate/cohort.sql")
        self.session.execute(text(statement), self.asked)
        told = self.session.execute(text("SELECT * FROM cohort")).mappings().all()
        return [fact for fact in self.facts if not all(row[fact] for row in told)]


class RefusedError(Exception):
    """The extraction does not go through."""


def _staged(run: Run, rows: list[Row]) -> list[Row]:
    """What `extract` would stage of them. Raises ConfigurationError as it does."""
    return [
        _prepared(run, {**row, "evidence": {**row["evidence"]}}).row
        for row in rows
        if not row["reasons"] and (row["recipient"] is None or is_address(row["recipient"]))
    ]


@pytest.fixture(scope="module")
def practice(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    """All cases of the table in one warehouse."""
    directory = tmp_path_factory.mktemp("mutations")
    with dry_practice(server, directory) as made:
        made.settings = replace(made.settings, home=home_of_cases(directory / "home"))
        made.world.execute("UPDATE contract.load SET data_until = :t", t=NOW + timedelta(5))
        fill(made.world, CASES)
        made.world.execute("ANALYZE")
        yield made


@pytest.fixture(scope="module")
def trials(practice: Practice) -> Iterator[dict[str, Trial]]:
    with ExitStack() as stack:
        yield {name: Trial.open(practice, name, stack) for name in CAMPAIGNS}


def predicates(trials: dict[str, Trial]) -> dict[str, dict[str, Mutant]]:
    """Every predicate by name, and the campaigns in whose statements it stands."""
    found: dict[str, dict[str, Mutant]] = {}
    for campaign, trial in trials.items():
        seen: Counter[str] = Counter()
        for mutant in mutants(trial.statement):
            seen[str(mutant)] += 1
            name = str(mutant)
            if mutant.part == "audience":
                name = name.replace("audience", trial.run.campaign.audience.removesuffix(".sql"), 1)
            if seen[str(mutant)] > 1:
                name += f" ({seen[str(mutant)]})"
            found.setdefault(name, {})[campaign] = mutant
    return found


def test_printing_a_statement_back_changes_nothing(trials: dict[str, Trial]) -> None:
    for trial in trials.values():
        assert trial.extracted(printed(trial.statement)) == trial.rows


def test_the_gates_own_sql_agrees_with_the_extraction(trials: dict[str, Trial]) -> None:
    for trial in trials.values():
        sound = {row["patient_key"] for row in trial.rows if not row["reasons"]}
        assert trial.allowed == sound  # case by case, not in number alone
        assert trial.counts == (len(trial.rows), len(sound))
        assert trial._wrong(_staged(trial.run, trial.rows)) == []


TOLD_OTHERWISE = {
    # Whoever is excluded stays so, for another reason.
    "form: WHEN a.authorization_key IS NULL THEN needed.missing": "names the form incomplete",
    "form: a.signed_at IS NULL (2)": "an unsigned form counts as none",
    "guardian: r.blocked IS NOT FALSE": "does not name `representative_blocked`",
    "guardian: r.limited_by IS NOT NULL": "does not name `representative_limited`",
    "standing: WHEN who.minor AND who.blocked THEN 'representative_blocked'":
        "names the form's signer only",
    "standing: who.minor (2)": "names `representative_blocked` of an adult, too",
    "standing: WHEN who.minor AND who.limited THEN 'representative_limited'":
        "names the form's signer only",
    "standing: who.minor (3)": "names `representative_limited` of an adult, too",
    "standing: WHEN who.minor AND who.recipient IS NULL THEN 'minor_without_representative'":
        "names `no_address`",
    "standing: who.minor (4)": "names `minor_without_representative` of an adult",
    # Whoever is eligible stays so, with another note.
    "consent: fault IS NULL": "counts faulty forms as duplicates",
    "consented: max(sound) > 1": "calls everybody's form a duplicate",
    # Reads of the excluded what nobody stages (PRV-18).
    "main: cardinality(standing.reasons) = 0": "reads the declared fields of the excluded",
}  # fmt: skip
"""Mutants that let nobody in or out, so that no gate could be red; what they do instead."""

FOR_THE_LAST_LOOK = {"standing: WHEN who.death_date <= :as_of THEN 'deceased'"}
"""The dead are no candidates; these conditions are for whoever dies after the extraction."""
FOR_SPEED = {"service: audience.appointment_key IS NOT NULL"}
"""Joins nobody, and says so before the appointments are read."""


@pytest.mark.long
def test_without_any_one_predicate_the_gate_turns_red(trials: dict[str, Trial]) -> None:
    """Or the extraction refuses; what does neither is listed, and told apart by the case table."""
    verdicts = {name: _hardest(of, trials) for name, of in predicates(trials).items()}
    for name, verdict in verdicts.items():
        print(f"{verdict or 'nothing changes':16} {name}")
    unnoticed = {name for name, verdict in verdicts.items() if not verdict}
    assert unnoticed == FOR_THE_LAST_LOOK | FOR_SPEED
    told = {name for name, verdict in verdicts.items() if verdict == TOLD}
    assert told == set(TOLD_OTHERWISE)
    assert len(verdicts) > 150


def _hardest(of: dict[str, Mutant], trials: dict[str, Trial]) -> str:
    """The verdict of the first campaign that catches it, or the best that any says."""
    best = ""
    for campaign, mutant in of.items():
        verdict = trials[campaign].verdict(mutant.sql)
        if verdict not in ("", TOLD):
            return verdict
        best = best or verdict
    return best


def test_what_only_the_last_look_needs_is_missed_by_it(trials: dict[str, Trial]) -> None:
    """PRV-17: the same `standing`, asked of everybody in the warehouse."""
    trial = trials[PAID]
    statement = load_sql(trial.run.settings.home, "extract/last_look.sql")
    found = {str(mutant): mutant for mutant in mutants(statement)}
    usual = _looked(trial, statement)
    for name in FOR_THE_LAST_LOOK:
        assert _looked(trial, found[name].sql) != usual


def _looked(trial: Trial, statement: str) -> list[Any]:
    keys = trial.source.execute(text("SELECT patient_key FROM contract.patient ORDER BY 1"))
    letters: dict[str, Any] = {"patient_keys": list(keys.scalars())}
    for name in ("appointment_keys", "medication_keys"):
        letters[name] = [None] * len(letters["patient_keys"])
    letters["at_portal"] = [False] * len(letters["patient_keys"])
    found = trial.source.execute(text(statement), trial.asked | letters).all()
    trial.source.rollback()
    return sorted(found, key=lambda row: row.number)


THROUGH_THE_GATE = {
    # a wrong inclusion, a wrong exclusion, a wrong candidate, a row that lacks something
    "standing: WHEN opted_out.patient_key IS NOT NULL THEN 'opted_out'": PAID,
    "restricted: r.since < :ends": PAID,
    "medication_reminder: m.lapsed_on >= :as_of - 90": MEDICATION,
    "guardian: consent.purpose = 'email'": PAID,
    "service: found.words IS NOT NULL": APPOINTMENT,
    "main: WHEN cardinality(standing.reasons) = 0 THEN standing.language": APPOINTMENT,
    "main: WHEN cardinality(standing.reasons) = 0 THEN standing.authorization_key": APPOINTMENT,
}
EVERY = os.environ.get("REENGAGE_EVERY_MUTANT") == "1"


def test_the_real_gate_says_the_same(
    trials: dict[str, Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few mutants, or all of them: through `extract` and Great Expectations."""
    known = predicates(trials)
    assert set(THROUGH_THE_GATE) <= set(known)
    wrong = {}
    for name, of in known.items():
        if not EVERY and name not in THROUGH_THE_GATE:
            continue
        campaigns = list(of) if EVERY else [THROUGH_THE_GATE[name]]
        caught = any(_stops(trials[one].run, of[one], monkeypatch) for one in campaigns)
        print(f"{'stops' if caught else 'passes':16} {name}")
        if caught == (name in {*TOLD_OTHERWISE, *FOR_THE_LAST_LOOK, *FOR_SPEED}):
            wrong[name] = caught
    assert wrong == {}


def _stops(run: Run, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> bool:
    with monkeypatch.context() as patched:
        patched.setattr(room, "candidate_statement", lambda *_: mutant.sql)
        try:
            extract(run)
        except (ReengageError, SQLAlchemyError, AttributeError):
            return True
    try:
        gate(run)
    except GateError:
        return True
    return False
