"""Why a patient was written to or not, and how long the answer is kept."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reengage import store
from reengage.campaigns import Campaign, load_campaigns
from reengage.cli import places
from reengage.cli.actor import actor, note_access, of_patient, record_access
from reengage.cli.refuse import patient_key
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.pipeline import norms
from reengage.retention.sweep import Places, sweep
from reengage.settings import Settings, pinned_instant
from reengage.why import Explanation, explain

_STYLES = {"against": "bold red", "in order": "", "not asked": "dim"}


def why(options: Namespace, home: Path) -> int:
    """Each rule's outcome for one patient and day; 1 when nobody knows the patient."""
    patient = patient_key(options.patient)
    campaigns = _campaigns(home, options.campaign)
    with settings_at(home) as settings:
        keyring = open_keyring(settings.keyring)
        asked = {"campaign": options.campaign, "day": options.date.isoformat()}
        record_access(
            store.connect(settings.store_url),
            keyring,
            "opened",
            "why",
            {**of_patient(keyring, patient), **asked},
        )
        found = [explain(settings, campaign, patient, options.date) for campaign in campaigns]
    if options.json:
        print(json.dumps([_as_json(one) for one in found], indent=2, default=str))
    else:
        for one in found:
            _render(one, Console())
    return int(not any(one.kept or one.today.known for one in found))


def purge(options: Namespace, home: Path) -> int:
    """Remove what was kept for as long as docs/retention.md says."""
    actor()  # before anything goes: it cannot be taken back
    keyring = open_keyring(places.keyring(home))
    names = ("REHEARSAL_MAILDIR", "RETURNS_SPOOL")
    folders = (os.environ.get(f"REENGAGE_{name}") for name in names)
    swept = Places(*(Path(one) if one else None for one in folders))
    with places.store(home) as engine:
        gone = sweep(engine, keyring, home, now=datetime.now(UTC), places=swept)
        if gone:
            record_access(engine, keyring, "removed", "retention", dict(gone))
    for name, count in gone.items():
        Console().print(f"{name:24} {count:8,}")
    if not gone:
        Console().print("nothing is old enough to go")
    return 0


def accept_counts(options: Namespace, home: Path) -> int:
    """Let the norm of the source's row counts begin anew, for one campaign or all."""
    campaigns = _campaigns(home, options.campaign)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        for campaign in campaigns:
            norms.accept(connection, campaign.slug, options.reason)
        # Not the reason: what somebody typed may name a patient, and the ledger keeps it for good.
        approved = [campaign.slug for campaign in campaigns]
        note_access(connection, keyring, "approved", "source counts", {"campaigns": approved})
    Console().print("accepted; the next runs make the norm")
    return 0


@contextmanager
def settings_at(home: Path) -> Iterator[Settings]:
    """Settings for what only reads: no relay, no Airflow."""
    keyring = places.keyring(home)
    with places.store(home) as engine, places.warehouse(home) as warehouse:
        with engine.begin() as connection:
            store.require_keyring(connection, open_keyring(keyring))
        yield Settings(
            home=home,
            warehouse_url=warehouse.url.render_as_string(hide_password=False),
            store_url=engine.url.render_as_string(hide_password=False),
            keyring=keyring,
            relays={},
            pinned_now=pinned_instant(),
        )


def _campaigns(home: Path, slug: str | None) -> list[Campaign]:
    sound, _ = load_campaigns(home)
    chosen = [campaign for campaign in sound if slug in (None, campaign.slug)]
    if not chosen:
        known = ", ".join(campaign.slug for campaign in sound)
        raise ConfigurationError(f"there is no sound campaign {slug!r}; there are {known}")
    return chosen


def _render(one: Explanation, console: Console) -> None:
    console.print(f"\n[bold]{one.campaign}[/], {one.day}: {_verdict(one)}")
    for kept in one.kept:
        console.print(
            f"  decided by run {kept.run_id} ({kept.mode}) at {kept.opened_at:%Y-%m-%d %H:%M} UTC"
            + (f"; odd: {', '.join(kept.notes)}" if kept.notes else "")
        )
    for state, reason in one.letters:
        console.print(f"  letter: {state}" + (f", {reason}" if reason else ""))
    for told in one.refusals:
        console.print(
            f"  {told.kind} of {told.scope or 'all'}, {told.at:%Y-%m-%d %H:%M} UTC, {told.channel}"
        )
    if one.corrected:
        console.print(
            "  [yellow]as of that day the warehouse says otherwise now:"
            f" {', '.join(one.today.reasons) or 'nothing against it'}[/]"
        )
    if one.kept or one.today.known:
        console.print(_table(one))


def _verdict(one: Explanation) -> str:
    if one.kept:
        latest = one.kept[-1]
        if latest.reasons:
            return f"excluded: {', '.join(latest.reasons)}"
        return "eligible, held out for comparison" if latest.arm == "holdout" else "eligible"
    if not one.today.known:
        return "the warehouse has no patient with this key"
    return f"no candidate ({_candidacy(one)})"


def _candidacy(one: Explanation) -> str:
    today = one.today
    last = f"{today.last_visit_at:%Y-%m-%d}" if today.last_visit_at else "never"
    ahead = f"{today.next_appointment_at:%Y-%m-%d}" if today.next_appointment_at else "none"
    return (
        f"last visit {last}, booked appointment {ahead}, prescriptions {today.prescriptions};"
        " what the warehouse says as of that day"
    )


def _table(one: Explanation) -> Table:
    table = Table("rule", "cites", "outcome", "rests on", header_style="bold", show_lines=False)
    for outcome in one.outcomes:
        style = _STYLES[outcome.outcome]
        rests = "; ".join(f"{name}: {_shown(value)}" for name, value in outcome.rests_on.items())
        table.add_row(outcome.code, ", ".join(outcome.rules), outcome.outcome, rests, style=style)
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{_shown(v)}" for v in value.values() if v is not None)
    return str(value)


def _as_json(one: Explanation) -> dict[str, Any]:
    return {
        "campaign": one.campaign,
        "day": one.day,
        "kept": [asdict(kept) for kept in one.kept],
        "today": asdict(one.today),
        "letters": [{"state": state, "reason": reason} for state, reason in one.letters],
        "refusals": [asdict(told) for told in one.refusals],
        "outcomes": [asdict(outcome) for outcome in one.outcomes],
    }
