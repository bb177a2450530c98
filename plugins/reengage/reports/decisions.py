"""Decisions: what waits for one, what people decided about exactly what; what staff were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi.responses import HTMLResponse
from sqlalchemy import Connection, text

from reengage.alerts import webhook
from reengage.alerts.alert import TITLES
from reengage.alerts.tell import Offered, listed
from reengage.errors import ConfigurationError
from reengage.pipeline import approvals as digests
from reengage.pipeline import required
from reengage.pipeline.approvals import DIGITS, ROWS, Decision, Unapproved
from reengage.practice import Practice, load_practice
from reengage.reports.files import campaigns_of
from reengage.reports.render import page
from reengage.reports.tables import Badge, Link, Table, Tone, table
from reengage.reports.visit import Visit
from reengage.sql import load_sql

_MOST = 200
_ASKED_SECONDS = 60
"""How long what git says of a file is believed: asking takes longer than the rest of the page."""
_VERDICTS: Mapping[str, Tone] = {"approved": "good", "rejected": "bad"}


def approvals(visit: Visit) -> HTMLResponse:
    """What waits for a person, and what people decided: by digest, about a run or a campaign."""
    visit.record()
    home = visit.settings.home
    campaigns, _ = campaigns_of(home)
    portal = load_practice(home / "practice.yaml").portal is not None
    with visit.reading() as connection:
        asked = required.waiting(connection, visit.settings.now())
        changed = digests.unapproved(connection, home, campaigns, portal=portal)
        decided = digests.history(connection, _MOST)
        of_runs = _paths(connection, [one.run_id for one in decided if one.run_id])
        paused = _rows(connection, home, "reports/pauses.sql")
        others = _rows(connection, home, "reports/decisions.sql")
    return page(
        visit.request, visit.visitor, "approvals.html", "Approvals",
        here="approvals",
        waiting=_waiting(asked),
        changed=_changed(visit, changed),
        decided=_decided(decided, of_runs),
        paused=_paused(paused),
        others=_others(others),
    )  # fmt: skip


def _rows(connection: Connection, home: Any, file: str) -> Sequence[Any]:
    return connection.execute(text(load_sql(home, file)), {"most": _MOST}).all()


def _waiting(found: Sequence[required.Required]) -> Table:
    return table(
        "waiting",
        "Waiting for an answer in Airflow",
        [
            ("what", "Question", "text"), ("about", "About", "text"), ("asked", "Asked", "instant"),
            ("until", "No answer is a no at", "instant"), ("where", "Answer", "text"),
        ],
        [
            [one.subject, one.about, one.asked_at, one.until,
             Link("Required Actions", one.place.path, outside=True)]
            for one in found
        ],
    )  # fmt: skip


def _changed(visit: Visit, found: Sequence[Unapproved]) -> Table:
    more = f" {len(found) - ROWS} more are not shown." if len(found) > ROWS else ""
    return table(
        "changed",
        "What the next runs will ask about",
        [
            ("name", "What", "code"), ("state", "", "badge"), ("sha256", "SHA-256 begins", "code"),
            ("by", "Changed last by", "text"),
        ],
        [
            [one.name, Badge("changed" if one.previous else "new", "warn"), one.sha256[:DIGITS],
             _changed_by(one, visit.settings.home, int(monotonic() // _ASKED_SECONDS))]
            for one in found[:ROWS]
        ],
        note="Files of this server in a state that nobody has approved. Whoever looked at them may"
        " approve before a run asks: python -m reengage approve." + more,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _changed_by(one: Unapproved, home: Path, _when: int) -> str:
    return one.changed_by(home)


def _decided(found: Sequence[Decision], of_runs: Mapping[UUID, str]) -> Table:
    return table(
        "decided",
        "What people approved and rejected",
        [
            ("at", "Decided", "instant"), ("what", "What", "code"),
            ("sha256", "SHA-256 begins", "code"), ("decision", "Answer", "badge"),
            ("by", "By", "text"), ("reason", "Reason", "text"), ("run", "Asked by", "text"),
        ],
        [
            [one.at, one.subject, one.sha256[:DIGITS], Badge(one.verdict, _VERDICTS[one.verdict]),
             one.by, one.reason, _asker(one, of_runs)]
            for one in found
        ],
        note=f"The newest {_MOST}. An approval is valid for exactly this digest; a later answer"
        " about the same one takes it back. The whole digest is in the ledger.",
    )  # fmt: skip


def _asker(one: Decision, of_runs: Mapping[UUID, str]) -> Any:
    if one.run_id is None:
        return "the command line"
    path = of_runs.get(one.run_id)
    return Link("the run", path) if path else "a run that did not open"


def _paused(found: Sequence[Any]) -> Table:
    return table(
        "approvals",
        "Runs that paused themselves",
        [
            ("day", "Day", "text"), ("campaign", "Campaign", "text"), ("opened", "Asked",
             "instant"), ("letters", "Letters looked at", "count"), ("refused", "Refused", "count"),
            ("errors", "Put off or lost", "count"), ("decision", "Answer", "badge"),
            ("by", "By", "text"), ("at", "Answered", "instant"), ("until", "Waits until",
             "instant"),
        ],
        [
            [
                Link(str(row.campaign_date), _path(row)), row.campaign, row.opened_at,
                row.letters, row.refused, row.errors,
                Badge(row.decision, _VERDICTS[row.decision]) if row.decision
                else Badge("waits", "warn"),
                row.decided_by, row.decided_at, row.until,
            ]
            for row in found
        ],
    )  # fmt: skip


def _others(found: Sequence[Any]) -> Table:
    return table(
        "others",
        "What people decided about campaigns",
        [
            ("at", "Decided", "instant"), ("campaign", "Campaign", "text"),
            ("decision", "Decision", "text"), ("by", "By", "text"), ("reason", "Reason", "text"),
        ],
        [[row.at, Link(row.campaign, f"campaigns/{row.campaign}"), row.decision, row.by, row.reason]
         for row in found],
    )  # fmt: skip


def _paths(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, str]:
    found = connection.execute(
        text("SELECT run_id, campaign, dag_run_id FROM run WHERE run_id = ANY(:ids)"),
        {"ids": list(run_ids)},
    )
    return {row.run_id: _path(row) for row in found}


def _path(row: Any) -> str:
    return f"dags/reengage_{row.campaign}/runs/{quote(row.dag_run_id, safe='')}"


def alerts(visit: Visit) -> HTMLResponse:
    """What staff were told, by which channel, and whether it was taken there."""
    visit.record()
    practice = load_practice(visit.settings.home / "practice.yaml")
    with visit.reading() as connection:
        found = listed(connection, None, _MOST)
    return page(
        visit.request, visit.visitor, "alerts.html", "Alerts",
        here="alerts",
        channels=_channels(visit, practice),
        alerts=alerts_table(found, f"The newest {_MOST}"),
    )  # fmt: skip


def _channels(visit: Visit, practice: Practice) -> list[str]:
    """Where alerts go, without an address that is a secret."""
    told, said = practice.alerts, []
    if told.email:
        said.append(f"e-mail to {', '.join(told.email)} through {told.vendor}")
    try:
        hooks = len(webhook.addresses(visit.settings))
    except ConfigurationError:
        hooks = 0
    if hooks:
        said.append(f"{hooks} webhook{'s' if hooks > 1 else ''}")
    return said


def alerts_table(found: Sequence[Offered], caption: str) -> Table:
    """Alerts by channel."""
    return table(
        "alerts",
        caption,
        [
            ("at", "When", "instant"), ("about", "About", "text"), ("kind", "What", "text"),
            ("key", "Which", "code"), ("channel", "Channel", "text"),
            ("taken", "Delivered", "badge"),
        ],
        [
            [one.at, one.about, TITLES[one.kind], _which(one), one.channel,
             Badge("taken", "good") if one.taken else Badge(f"not taken: {one.why}", "bad")]
            for one in found
        ],
        note="Taken = the relay took it for at least one address, or the webhook answered with"
        " success. What no channel took is told again at the next occasion.",
    )  # fmt: skip


def _which(one: Offered) -> str:
    return one.key.removeprefix(f"{one.about}/")
