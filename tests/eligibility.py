"""One case of who may be written to, and a warehouse that holds all of them at once.

case("17, a parent on file", "PRV-15", patient=MINOR, forms=BY_PARENT, representative=[PARENT])
case("expired yesterday", "PRV-04", "authorization_expired", email={"expires_on": DAY - ONE_DAY})

A patient of a case may be written to by every campaign but for what the case says: there is an
opt-in to e-mail (`email`) and an authorization for marketing (`marketing`); `forms` changes both. A
mapping changes the usual row, None leaves it out, a list takes its place; each row of `more` is one
more form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from reengage.embedded.home import copy_home
from reengage.settings import HOME
from sqlalchemy import text
from world import DAY, NOW, World, _usual

EDUCATION, MEDICATION, APPOINTMENT = (
    "health_education",
    "medication_reminder",
    "appointment_reminder",
)
PAID, UNPAID = "paid_news", "unpaid_news"
"""Marketing, somebody else pays for it or nobody does; otherwise like EDUCATION."""
MARKETING = (PAID, UNPAID)
CALENDAR = (EDUCATION, *MARKETING)

ONE_DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
CHICAGO = ZoneInfo("America/Chicago")
MIDNIGHT = datetime.combine(DAY + ONE_DAY, time(), CHICAGO)
"""The end of the campaign's day."""
LAST = MIDNIGHT - INSTANT
"""Its last instant."""
OPENS = datetime.combine(DAY - timedelta(days=179), time(), CHICAGO)
"""The first instant of the 180 days up to and including the day."""
CLOSES = datetime.combine(DAY + timedelta(days=31), time(), CHICAGO)
"""The end of the 30 days after the day."""
SIGNED = NOW - timedelta(days=1000)
"""When the usual form was signed."""
OUT = "is no candidate"

ADULT = {"birth_date": date(2007, 6, 2)}  # 18 on the day
MINOR = {"birth_date": date(2007, 6, 3)}  # 18 the day after
BY_PARENT = {"representative_key": "parent"}
PARENT = {
    "representative_key": "parent",
    "authority": "parent",
    "email": "parent@example.org",
    "verified_at": NOW - timedelta(days=900),
    "limited_by": None,
    "blocked": False,
}

RULES_OF_STATES = """\
rules:
  - {state: NE, category: hiv, decision: deny, citation: a law, reviewer: counsel, reviewed_on: 2025-01-01, review_due: 2026-01-01}
  - {state: NE, category: mental_health, decision: allow, citation: a law, reviewer: counsel, reviewed_on: 2025-01-01, review_due: 2025-06-02}
  - {state: NE, category: genetics, decision: allow, citation: a law, reviewer: counsel, reviewed_on: 2025-01-01, review_due: 2025-06-01}
  - {state: NE, category: reproductive, decision: allow, citation: a law, reviewer: counsel, reviewed_on: 2025-06-03, review_due: 2026-01-01}
  - {state: NE, category: substance_use, decision: allow, citation: a law, reviewer: counsel, reviewed_on: 2025-01-01, review_due: 2026-01-01}
"""  # noqa: E501


@dataclass(frozen=True)
class Case:
    """A patient, and what is decided of them."""

    name: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...] | None
    """In the order of a report; None = no candidate."""
    notes: tuple[str, ...]
    campaigns: tuple[str, ...]
    rows: Mapping[str, Any] = field(repr=False)


def case(
    name: str,
    rules: str,
    reasons: str = "",
    *,
    notes: str = "",
    campaigns: str | Sequence[str] = CALENDAR,
    **rows: Any,
) -> Case:
    """Words of `rules`, `reasons` and `notes` are parted by a space."""
    asked = (campaigns,) if isinstance(campaigns, str) else tuple(campaigns)
    if APPOINTMENT not in asked:
        rows = {"appointment": None, **rows}
    told = None if reasons == OUT else tuple(reasons.split())
    return Case(name, tuple(rules.split()), told, tuple(notes.split()), asked, rows)


def fill(world: World, cases: Sequence[Case]) -> dict[str, str]:
    """A patient for each case, all at once; gives key -> name of the case."""
    keys = {f"case{number:03}": one.name for number, one in enumerate(cases)}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, one in zip(keys, cases, strict=True):
        for view, row in _rows(key, one.rows):
            found[view].append(row)
    with world.engine.begin() as connection:
        for view, rows in found.items():
            columns = sorted({name for row in rows for name in row})
            names = ", ".join(f'"{name}"' for name in columns)
            values = ", ".join(f":{name}" for name in columns)
            connection.execute(
                text(f'INSERT INTO contract."{view}" ({names}) VALUES ({values})'),
                [{name: row.get(name) for name in columns} for row in rows],
            )
    return keys


def _rows(key: str, changes: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    usual: dict[str, dict[str, Any]] = dict(_usual(key))
    form = usual.pop("authorization")
    usual["email"] = form
    usual["marketing"] = {
        **form, "authorization_key": f"marketing-{key}", "purpose": "marketing",
        "remuneration_stated": True,
    }  # fmt: skip
    found = []
    for name, row in usual.items():
        change = changes.get(name, {})
        if change is None or isinstance(change, list):
            continue
        both = changes.get("forms", {}) if name in ("email", "marketing") else {}
        found.append((_view(name), {**row, **both, **change}))
    for name, more in changes.items():
        if isinstance(more, list):
            base = {**form, **changes.get("forms", {})} if name == "more" else usual.get(name, {})
            found += [(_view(name), {**base, "patient_key": key, **row}) for row in more]
    return found


def _view(name: str) -> str:
    return "authorization" if name in ("email", "marketing", "more") else name


def home_of_cases(to: Path) -> Path:
    """A home with reviewed rules of states, and two campaigns of marketing."""
    home = copy_home(HOME, to)
    (home / "jurisdictions.yaml").write_text(RULES_OF_STATES)
    usual = (home / "campaigns" / f"{EDUCATION}.yaml").read_text()
    for slug, paid in ((PAID, "true"), (UNPAID, "false")):
        content = usual.replace(f"slug: {EDUCATION}", f"slug: {slug}")
        content = content.replace("purpose: education", f"purpose: marketing\npaid: {paid}")
        (home / "campaigns" / f"{slug}.yaml").write_text(content)
    return home
