"""Waiting: what needs a person now, each with where it is answered.

Who may see no small count gets no question's own words: its subject may hold one (PRV-27). Why a
campaign is stopped is told to whoever may see the audit trail, and to others in one sentence for
all grounds: that too many called its letters spam would narrow a count of them that is hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.campaigns import Campaign
from reengage.outcome_report import read_experiment
from reengage.pipeline import complaints, holds, required
from reengage.pipeline.required import Required
from reengage.pipeline.run import local_day
from reengage.reports import runs
from reengage.reports.begun import Begun
from reengage.reports.render import instant
from reengage.reports.runs import RunRow
from reengage.reports.tables import Tone
from reengage.reports.visit import Visit
from reengage.vendors import load_vendors
from reengage.vendors.standing import days_left, level_of


@dataclass(frozen=True)
class Task:
    """Something that waits for a person. `path` is below the app's, or Airflow's if `outside`."""

    tone: Tone
    text: str
    path: str
    link: str
    outside: bool = False


@dataclass(frozen=True)
class Order:
    """What is said in place of tasks."""

    text: str
    is_whole: bool
    """Whether all that began has ended in order."""


def tasks(
    connection: Connection,
    visit: Visit,
    campaigns: Sequence[Campaign],
    live: Mapping[str, RunRow | Begun],
) -> list[Task]:
    """All of it, what Airflow asks first. `live` is what each campaign began last, live."""
    questions = required.waiting(connection, visit.settings.now())
    titles = {one.slug: one.title for one in campaigns}
    found = [of_question(visit, one, titles) for one in questions]
    asking = {one.place.run_id for one in questions}
    found += [_of_run(row, titles) for row in live.values() if _stands(row, asking)]
    found += _overdue(visit, campaigns, live)
    held = holds.latest(connection)
    for campaign in campaigns:
        found += _of_campaign(connection, visit, campaign, held.pop(campaign.slug, None))
    for slug, one in held.items():  # whose file is gone
        found += _of_stop(stop_of(visit, slug, one, complained=False), slug, f"campaigns/{slug}")
    if "audit_trail" in visit.visitor.capabilities:
        found += [*_unknown(connection), *_agreements(visit)]
    else:
        found += _ended(visit, campaigns)
    return found


def of_question(visit: Visit, one: Required, titles: Mapping[str, str]) -> Task:
    """A question, with Airflow's page of it for who may open that."""
    may = visit.visitor.capabilities
    title = titles.get(one.campaign, one.campaign)
    said = one.subject if "exact_counts" in may else f"{title} waits for an answer: {one.about}."
    said = f"{said} Without an answer by {instant(one.until)} it is a no."
    if "exact_counts" not in may:  # their role opens no required action
        return Task("warn", said, f"campaigns/{one.campaign}", "the campaign")
    link = "answer in Airflow" if "audit_trail" in may else "look in Airflow"
    return Task("warn", said, one.place.path, link, outside=True)


def order(campaigns: Sequence[Campaign], live: Mapping[str, RunRow | Begun]) -> Order:
    """What may be said where nothing waits for a person: no more than is so. Pure."""
    titles = {one.slug: one.title for one in campaigns}
    if not live:
        return Order("Nothing yet: no campaign has begun a live run.", is_whole=False)
    open_ones = [
        f"{titles.get(one.campaign, one.campaign)}, {one.day}"
        for one in live.values()
        if isinstance(one, Begun) or not one.finished_at
    ]
    if open_ones:
        return Order(f"Nothing for now. Under way: {'; '.join(open_ones)}.", is_whole=False)
    never = [one.title for one in campaigns if one.slug not in live]
    some = f" None yet of {', '.join(never)}." if never else ""
    return Order(f"Nothing. Each campaign's last live run has ended in order.{some}", True)


def _stands(row: RunRow | Begun, asking: set[UUID]) -> bool:
    """Whether a campaign's last run waits for somebody, other than with a question above."""
    if isinstance(row, Begun):
        return row.stands and not (row.state == "asked" and row.run_id in asking)
    if row.asks:
        return row.run_id not in asking
    return row.gate == "red" or bool(row.last_failed and not row.finished_at)


def _overdue(
    visit: Visit, campaigns: Sequence[Campaign], live: Mapping[str, RunRow | Begun]
) -> list[Task]:
    """Runs of which no end is known though their day is over: a task that was killed says none."""
    found = []
    for campaign in campaigns:
        row = live.get(campaign.slug)
        if not isinstance(row, RunRow) or row.finished_at or _stands(row, set()):
            continue
        if row.day < local_day(visit.settings.now(), campaign):
            said = f"{campaign.title}, {row.day}: not over, though its day is."
            found.append(Task("warn", said, runs.path_of(row), "the run"))
    return found


def _of_run(row: RunRow | Begun, titles: Mapping[str, str]) -> Task:
    said = f"{titles.get(row.campaign, row.campaign)}, {row.day}: {row.verdict.text}."
    return Task(row.verdict.tone, said, runs.path_of(row), "the run")


@dataclass(frozen=True)
class Stop:
    """What keeps a campaign from sending, as far as a visitor is told."""

    hold: holds.Hold | None = None
    """What somebody decided about it last; None also where the visitor is not told."""
    complained: bool = False
    """Whether complaints stop its next run; False also where the visitor is not told."""
    untold: str | None = None
    """That it is stopped, in one sentence whatever the ground, for who is not told that."""

    @property
    def paused(self) -> holds.Hold | None:
        """The pause in force."""
        return self.hold if self.hold and self.hold.paused else None


def stop_of(visit: Visit, name: str, hold: holds.Hold | None, *, complained: bool) -> Stop:
    """The ground for who may see the audit trail; for others, that there is one. Pure."""
    if "audit_trail" in visit.visitor.capabilities:
        return Stop(hold, complained)
    if complained or (hold and hold.paused):
        return Stop(untold=f"{name} is stopped; the Compliance Officer knows why.")
    return Stop()


def has_complaints(connection: Connection, visit: Visit, campaign: Campaign) -> bool:
    """Whether complaints stop the campaign's run of today."""
    day, home = local_day(visit.settings.now(), campaign), visit.settings.home
    return complaints.stopped(connection, home, campaign, day) is not None


def _of_stop(stop: Stop, name: str, path: str) -> list[Task]:
    if stop.untold:
        return [Task("warn", stop.untold, path, "the campaign")]
    found = []
    if one := stop.paused:
        said = f"{name} is paused by {one.by} since {instant(one.at)}: {one.reason}."
        found.append(Task("warn", said, f"{path}#hold", "the campaign"))
    if stop.complained:
        said = f"{name} is stopped: too many of its letters were called spam."
        found.append(Task("bad", said, f"{path}#complaints", "find out why, go on"))
    return found


def _of_campaign(
    connection: Connection, visit: Visit, campaign: Campaign, hold: holds.Hold | None
) -> list[Task]:
    path = f"campaigns/{campaign.slug}"
    complained = has_complaints(connection, visit, campaign)
    stop = stop_of(visit, campaign.title, hold, complained=complained)
    found = _of_stop(stop, campaign.title, path)
    # Who is told less of who came back is not told either what it decides.
    if campaign.variants and visit.visitor.sees_small_counts:
        known = read_experiment(connection, campaign.slug)
        reading = known.reading if known else None
        if known and reading and reading.verdict in ("a", "b") and not reading.kept:
            better = reading.variant_a if reading.verdict == "a" else reading.variant_b
            said = f"{campaign.title}: {better} brings more patients back; which letter stays?"
            found.append(Task("warn", said, f"{path}#compared", "decide"))
    return found


def _unknown(connection: Connection) -> list[Task]:
    letters = connection.execute(
        text("SELECT count(*), min(settled_at) FROM letter WHERE is_unknown")
    ).one()
    if not letters[0]:
        return []
    since = f" since {letters[1]:%Y-%m-%d}" if letters[1] else ""
    are = "letter is" if letters[0] == 1 else "letters are"
    return [Task("warn", f"{letters[0]:,} {are} unknown{since}.", "compliance/unknown", "resolve")]


def _ended(visit: Visit, campaigns: Sequence[Campaign]) -> list[Task]:
    """What everybody is told of agreements: that one is over by which a campaign is sent."""
    today = visit.settings.now().date()
    vendors = load_vendors(visit.settings.vendors_path)
    found = []
    for campaign in campaigns:
        vendor = vendors.get(campaign.vendor)
        if vendor and vendor.baa and not vendor.own_relay and days_left(vendor.baa, today) < 0:
            said = (
                f"{campaign.title} sends nothing: the agreement with {vendor.name} has ended, on"
                f" {vendor.baa.expires}."
            )
            found.append(Task("bad", said, f"campaigns/{campaign.slug}", "the campaign"))
    return found


def _agreements(visit: Visit) -> list[Task]:
    today = visit.settings.now().date()
    found = []
    for vendor in load_vendors(visit.settings.vendors_path).values():
        if vendor.baa is None or vendor.own_relay is not None:
            continue
        days = days_left(vendor.baa, today)
        if level := level_of(days):
            ends = f"ends in {days} days" if days >= 0 else "has ended"
            said = f"The agreement with {vendor.name} {ends}, on {vendor.baa.expires}."
            loud: Tone = "bad" if level == "urgent" else "warn"
            found.append(Task(loud, said, "compliance/agreements", "agreements"))
    return found
