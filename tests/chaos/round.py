"""A round: tasks that are disturbed, then retried as Airflow would until nothing is open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daily import Practice
from reengage.embedded.certificates import Certificates
from reengage.pipeline import breaker
from reengage.pipeline.run import Run, resume
from simulators.chaos_relay import ChaosRelay
from simulators.lot import Fault, Transaction

from chaos.plan import CALM_WAVES, WILD_WAVES, Plan
from chaos.site import Ready, Site
from chaos.tries import Tries, Try

OPEN = ("composed", "claimed", "attempted", "answered", "deferred")


@dataclass
class Played:
    """What both sides have of a round when it is over."""

    plan: Plan
    practice: Practice
    run: Run
    letters: Sequence[dict[str, Any]]
    transactions: Sequence[Transaction]
    faults: Sequence[Fault]
    tries: Sequence[Try]
    pauses: int
    """How often the run paused itself, and somebody had it go on."""
    stopped: bool
    """Whether a clock passed the run's day before somebody answered a pause: what is open then is
    left to the campaign's next run."""

    def story(self) -> str:
        """What happened, for whoever looks into it."""
        told = [str(self.plan), *(f"  {one}" for one in self.tries)]
        told += [
            f"    try {t.tag} connection {t.connection} {t.rcpt}: {t.fault or 'no fault'};"
            f" began {t.began}, whole {t.whole}, taken {t.taken}, answer {t.answer}"
            for t in self.transactions
            if t.began and (t.fault or t.answer != 250)
        ]
        return "\n".join(told)


@contextmanager
def played(site: Site, plan: Plan, directory: Path, *, disturbed: bool = True) -> Iterator[Played]:
    """Play the round, or the same without anything done to its tasks and clocks.

    Its store is there while the block runs.
    """
    ready = site.ready[plan.kind]
    with (
        site.copy(plan, directory) as practice,
        ChaosRelay(
            _certificates(practice),
            plan.seed,
            share=plan.share,
            extensions=plan.extensions,
            implicit=plan.implicit,
            mute_seconds=plan.mute_seconds,
        ) as relay,
    ):
        pauses = 0
        tries = Tries(site, relay, practice, ready.campaign, ready.run_id, ready.chunks)
        for wave in range(0 if disturbed else WILD_WAVES, WILD_WAVES + CALM_WAVES):
            relay.calm = wave >= WILD_WAVES
            pauses += _go_on(practice, ready)
            for chunk in _open_chunks(practice) if relay.calm else range(len(ready.chunks)):
                tries.start(
                    wave,
                    chunk,
                    plan.rooms(wave, chunk),
                    plan.fate(wave, chunk),
                    plan.clock(wave, chunk),
                )
            tries.join()
            for failed in [one for one in tries.all if _is_to_be_cleared_again(one, wave)]:
                tries.start(wave, failed.chunk, failed.rooms, None, failed.clock)
            tries.join()
        run = resume(practice.settings, ready.campaign, ready.run_id)
        letters = practice.rows("SELECT * FROM letter WHERE rehearsal IS NULL ORDER BY letter_id")
        stopped = bool(practice.rows("SELECT FROM pause WHERE decision = 'rejected'"))
        yield Played(
            plan, practice, run, letters, relay.transactions, relay.faults, tries.all, pauses,
            stopped,
        )  # fmt: skip


def _is_to_be_cleared_again(one: Try, wave: int) -> bool:
    """A task before `send` failed: Airflow tries it again before it comes to `send`."""
    return one.wave == wave and len(one.rooms) > 1 and one.ended[0] != "done"


def _go_on(practice: Practice, ready: Ready) -> int:
    """Approve, as a person would in Airflow, where the run paused itself; gives whether it had."""
    run = resume(practice.settings, ready.campaign, ready.run_id)
    question = breaker.question_of(run)
    if question is not None:
        breaker.answer(run, question.number, "approved", "chaos", "looked at the codes")
    return int(question is not None)


def _open_chunks(practice: Practice) -> list[int]:
    found = practice.rows(
        "SELECT DISTINCT chunk FROM letter WHERE state = ANY(:open) ORDER BY chunk",
        open=list(OPEN),
    )
    return [int(str(row["chunk"])) for row in found]


def _certificates(practice: Practice) -> Certificates:
    trust = practice.settings.relay_trust
    assert trust is not None
    return Certificates.within(trust.parent)
