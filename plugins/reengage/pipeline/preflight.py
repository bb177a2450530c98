"""Preflight: may this campaign run today at all? Opens the run's record and its data key.

Refuses: a campaign date in the future, a vendor without an agreement in force that day or with a
host it does not list (SEC-20, SEC-21), a missing key, a journal of refusals that was lost (SEC-08),
a relay without verified TLS (EML-11, EML-12), a pinned clock with a vendor whose relay is not on
this machine, a template or suite that does not load. A replay (a past date) and a dry run need no
relay, and never get one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from reengage import checks, refusals, relay, store
from reengage.campaigns import campaign_digest, load_campaign
from reengage.errors import ConfigurationError, VendorError
from reengage.jurisdictions import load_jurisdictions
from reengage.pipeline.configuration import note_changes
from reengage.pipeline.decisions import require_month_key
from reengage.pipeline.letter import blanks, compose_letter
from reengage.pipeline.run import Mode, Run, local_day, recorded_day
from reengage.pipeline.trail import Trail, complete
from reengage.settings import Settings
from reengage.templates import load_template
from reengage.vendors import Baa, require_baa, require_host

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Endpoint:
    """Where the campaign's letters go: a listed host under an agreement in force."""

    url: relay.RelayUrl
    baa: Baa
    trust: Path | None


def preflight(
    settings: Settings,
    slug: str,
    run_id: UUID,
    dag_run_id: str,
    *,
    day: date | None = None,
    scheduled_for: datetime | None = None,
    dry: bool = False,
    trail: Trail | None = None,
) -> Run:
    """Check everything that must hold before a patient is read, and open the run.

    The campaign date is the one already recorded for this run, else the one named, else the local
    day it was scheduled for, else today; fixed from then on.
    """
    campaign = load_campaign(settings.home, slug)
    today = local_day(settings.now(), campaign)
    scheduled = local_day(scheduled_for, campaign) if scheduled_for else None
    day = recorded_day(settings, run_id) or day or scheduled or today
    if day > today:
        raise ConfigurationError(
            f"campaign date {day} is in the future (today is {today}); name today or a past day"
        )
    run = Run(run_id, day, _mode(day, today, dry=dry), campaign, settings, trail)
    baa = require_baa(run.vendor, today)
    _load_everything(run)
    if run.mode == "live":
        way = endpoint(run)
        relay.connect(way.url, trust=way.trust).close()
    _record(run, dag_run_id, baa)
    return run


def _mode(day: date, today: date, *, dry: bool) -> Mode:
    if dry:
        return "dry"
    return "replay" if day < today else "live"


def _load_everything(run: Run) -> None:
    """What would fail later fails now, before a patient is read."""
    home, campaign = run.settings.home, run.campaign
    _ = run.contract, run.keyring, load_jurisdictions(home / "jurisdictions.yaml")
    for suite in campaign.suites.names():
        checks.load_suite(home, suite)
    # A blank letter of each language, signed and thrown away: practice, template and DKIM key fit.
    for language in campaign.languages:
        template = load_template(home, campaign.template, language)
        compose_letter(run, template, blanks(campaign), run.practice.reply_to, "preflight")


def endpoint(run: Run) -> Endpoint:
    """The vendor's relay, checked this instant. Raises VendorError or ConfigurationError."""
    name = run.campaign.vendor
    baa = require_baa(run.vendor, run.today())
    configured = run.settings.relays.get(name.lower())
    if configured is None:
        raise ConfigurationError(
            f"no relay is configured for vendor {name!r};"
            f" set REENGAGE_RELAY_URL_{name.upper()} to smtp://host:587 or smtps://host:465"
        )
    url = relay.RelayUrl.parse(configured)
    require_host(run.vendor, url.host)
    if run.settings.pinned_now is not None and url.host not in _LOOPBACK:
        raise VendorError(
            "the clock is pinned (REENGAGE_PINNED_NOW), which is only for a relay on this machine;"
            " unset it"
        )
    return Endpoint(url, baa, run.settings.relay_trust)


def _record(run: Run, dag_run_id: str, baa: Baa) -> None:
    # A cleared run opens the same record again: what was settled is to be settled anew.
    statement = text("""
        INSERT INTO run
            (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256, vendor, baa_id)
        VALUES (:run_id, :campaign, :day, :mode, :dag_run_id, :digest, :vendor, :baa)
        ON CONFLICT (run_id) DO UPDATE SET
            campaign_date = excluded.campaign_date, mode = excluded.mode,
            campaign_sha256 = excluded.campaign_sha256, vendor = excluded.vendor,
            baa_id = excluded.baa_id, gate = NULL, verdicts = NULL,
            finished_at = NULL, shredded_at = NULL
    """)
    with run.store.begin() as connection:
        store.require_keyring(connection, run.keyring)
        refusals.replay(connection, run.settings.journal_path)  # SEC-08
        connection.execute(
            statement,
            {
                "run_id": run.run_id,
                "campaign": run.campaign.slug,
                "day": run.day,
                "mode": run.mode,
                "dag_run_id": dag_run_id,
                "vendor": run.vendor.name,
                "digest": campaign_digest(run.campaign),
                "baa": baa.id,
            },
        )
        # Here, where nothing waits long for the lock that a new partition takes.
        connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": run.day})
        require_month_key(connection, run)  # SEC-19
        # Within the transaction: a key that cannot be made leaves no run without one behind.
        run.keyring.create_data_key(run.run_id)
        note_changes(connection, run)
        complete(connection, run)
