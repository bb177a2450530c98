"""The chaos test in its short form; `make chaos N=1000` is the long one (docs/reliability.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.judge import judge
from chaos.plan import Plan
from chaos.round import Played, played
from chaos.site import Site, prepared

SEEDS = (2, 5, *(pytest.param(seed, marks=pytest.mark.long) for seed in (3, 7)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A PostgreSQL of its own: other tests would not like what is done to it."""
    with prepared(tmp_path_factory.mktemp("chaos")) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_on_a_bad_day_no_letter_goes_twice_and_none_is_lost(
    seed: int, site: Site, tmp_path: Path
) -> None:
    with played(site, Plan.of(seed), tmp_path) as found:
        wrong = judge(found)
        assert not wrong, "\n".join([f"make chaos SEED={seed}", found.story(), *wrong])


@pytest.fixture(scope="module")
def quiet(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A round in which nothing went wrong, to be falsified."""
    plan = replace(
        Plan.of(0), kind="portal", share=0.0, extensions=("PIPELINING",), rate={}, wary=False
    )
    with played(site, plan, tmp_path_factory.mktemp("quiet"), disturbed=False) as found:
        yield found


def test_a_day_without_trouble_has_nothing_to_be_found(quiet: Played) -> None:
    assert judge(quiet) == []
    assert {letter["state"] for letter in quiet.letters} == {"sent"}


def _twice(found: Played) -> Played:
    return replace(found, transactions=[*found.transactions, found.transactions[0]])


def _never(found: Played) -> Played:
    return replace(found, transactions=found.transactions[1:])


def _gone(found: Played) -> Played:
    return replace(found, letters=found.letters[1:])


def _first(found: Played, **changes: object) -> Played:
    return replace(found, letters=[{**found.letters[0], **changes}, *found.letters[1:]])


def _others_octets(found: Played) -> Played:
    first, second, *others = found.transactions
    return replace(found, transactions=[replace(first, content=second.content), second, *others])


def _crowded(found: Played) -> Played:
    return replace(found, plan=replace(found.plan, rate={"letters_per_connection": 1}))


FALSIFIED: dict[str, Callable[[Played], Played]] = {
    "taken 2 times": _twice,
    "offered again": _twice,
    "never taken": _never,
    "a letter is lost": _gone,
    "still open": lambda found: _first(found, state="deferred"),
    "nobody owns up to it": lambda found: _first(found, state="withheld"),
    "withheld without cause": lambda found: _first(found, state="withheld"),
    "nothing made it so": lambda found: _first(found, state="unknown"),
    "the relay's word was": lambda found: _first(found, evidence={"queue_id": "Q2"}),
    "the relay's words were": lambda found: _first(found, state="refused"),
    "its records say": lambda found: _first(found, state="refused"),
    "left something there": lambda found: _first(found, state="refused"),
    "are allowed": _crowded,
    "other octets": _others_octets,
    "nobody foresaw": lambda found: replace(
        found, tries=[replace(found.tries[0], ended=("unforeseen", "KeyError"))]
    ),
}


def test_a_stopped_run_leaves_deferred_letters_to_the_next_and_no_others(quiet: Played) -> None:
    stopped = replace(quiet, stopped=True)
    assert "still open" not in "\n".join(judge(_first(stopped, state="deferred")))
    assert "still open" in "\n".join(judge(_first(stopped, state="composed")))


@pytest.mark.parametrize("what", FALSIFIED)
def test_the_judge_finds_what_is_falsified(what: str, quiet: Played) -> None:
    found = "\n".join(judge(FALSIFIED[what](quiet)))
    assert what in found
