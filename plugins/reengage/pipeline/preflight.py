"""Preflight: may this campaign run today at all? Opens the run's record and its data key.

Refuses: a campaign date in the future, a vendor without an agreement in force that day or with a
host it does not list (SEC-20, SEC-21), a missing key, a journal of refusals that was lost (SEC-08),
a store that is older than what was signed of its ledger (restored.py),
a campaign that too many patients call spam (complaints.py),
a relay without verified TLS (EML-11, EML-12), a pinned clock with a vendor whose relay is not on
this machine, a template or suite that does not load, and what nobody approved (approvals.py). A
replay (a past date) and a dry run need no relay, and never get one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from reengage import checks, refusals, relay, store, suppressions
from reengage.campaigns import campaign_digest, load_campaign
from reengage.errors import ConfigurationError, VendorError
from reengage.jurisdictions import load_jurisdictions
from reengage.ledger.owed import pay
from reengage.pipeline import beginnings, pacing
from reengage.pipeline.approvals import require_approved
from reengage.pipeline.complaints import require_few
from reengage.pipeline.composing import blanks, wordings
from reengage.pipeline.configuration import note_changes
from reengage.pipeline.decisions import require_month_key
from reengage.pipeline.restored import require_whole
from reengage.pipeline.run import Run, local_day, mode_of, recorded_day
from reengage.pipeline.seal import seal_letter
from reengage.pipeline.trail import Trail, complete
from reengage.sealing.way import Way
from reengage.settings import Settings
from reengage.vendors import LOOPBACK, Vendor, level_of, require_host, require_in_force, warning_of

ASK_AGAIN = timedelta(minutes=5)
"""How long a relay is left alone that has no time for another conversation."""
LIST_HOURS = 24
"""How long before a list of revoked certificates ends a run says so: most are made daily."""


@dataclass(frozen=True)
class Endpoint:
    """Where the campaign's letters go: a listed host and port, and what that rests on that day."""

    vendor: Vendor
    url: relay.RelayUrl
    baa_id: str
    day: date
    trust: Path | None

    def open(self, timeout: float = relay.COMMAND_SECONDS) -> relay.RelayConnection:
        """A connection to it. Raises VendorError, RelayError; see `relay.open_relay`."""
        return relay.open_relay(
            self.vendor, self.url, on=self.day, trust=self.trust, timeout=timeout
        )


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
    run = Run(run_id, day, mode_of(day, today, dry=dry), campaign, settings, trail)
    baa_id = require_in_force(run.vendor, today)
    require_few(run)
    _load_everything(run)
    require_approved(run, "preflight")  # last: nobody is asked about a run that may not begin
    _record(run, dag_run_id, baa_id, requires_tls=_relay_requires_tls(run))
    return run


def _relay_requires_tls(run: Run) -> bool:
    """Whether the relay offers REQUIRETLS; who opens no connection takes the vendor's entry for it.

    Raises RelayError where a live run's relay cannot be reached over verified TLS, RelayBusyError
    where it has no time, or all connections that it allows are in use.
    """
    if run.mode != "live":
        return run.vendor.guarantee == "requiretls"
    with run.store.connect() as session:
        slot = pacing.take_slot(session, run.vendor)
        if slot is None:
            raise relay.RelayBusyError(
                f"the {run.vendor.rate.connections} connections that relay {run.vendor.name!r}"
                " allows are in use; another run is sending"
            )
        try:
            with endpoint(run).open() as connection:
                offers = connection.offers_requiretls
        finally:
            pacing.give_slot(session, run.vendor, slot)
    return run.vendor.guarantee == "requiretls" and offers


def when_to_ask_again(settings: Settings, slug: str) -> datetime | None:
    """When to look again for a relay that has no time; None = not today, or the clock is pinned."""
    campaign = load_campaign(settings.home, slug)
    now = settings.now()
    again = now + ASK_AGAIN
    same_day = local_day(again, campaign) == local_day(now, campaign)
    return again if same_day and settings.pinned_now is None else None


def _warnings(run: Run) -> list[str]:
    """What ends soon: the vendor's agreement, the practice's own certificate."""
    found = [warning_of(run.vendor, run.today())]
    if run.signer:
        days = (run.signer.identity.certificate.expires - run.settings.now()).days
        if level := level_of(days):
            found.append(
                f"{level}: the practice's S/MIME certificate expires in {days} days; renew it with"
                " `python -m reengage keys rotate smime`, or no letter is sent from then on"
            )
    ends = run.smime_trust.current_until(run.settings.now())
    if ends and (hours := (ends - run.settings.now()).total_seconds() / 3600) < LIST_HOURS:
        found.append(
            f"urgent: a list of revoked certificates in REENGAGE_SMIME_TRUST ends in {hours:.0f}"
            " hours; fetch the next one, or who has such a certificate gets no letter"
        )
    return [one for one in found if one]


def _load_everything(run: Run) -> None:
    """What would fail later fails now, before a patient is read."""
    home, campaign = run.settings.home, run.campaign
    _ = run.contract, run.keyring, load_jurisdictions(home / "jurisdictions.yaml")
    for suite in campaign.suites.names():
        checks.load_suite(home, suite)
    _ = run.smime_trust, run.signer
    # A blank letter of each language, signed and thrown away: practice, template and DKIM key fit.
    # By the portal where there is one: its notice is composed, too.
    way = Way("portal", "link") if run.practice.portal else Way("tls", "contract")
    for wording in wordings(run).values():
        seal_letter(run, wording, blanks(campaign), run.practice.reply_to, "preflight", way)


def endpoint(run: Run) -> Endpoint:
    """The vendor's relay, checked this instant. Raises VendorError or ConfigurationError."""
    name, vendor, day = run.campaign.vendor, run.vendor, run.today()
    baa_id = require_in_force(vendor, day)
    configured = run.settings.relays.get(name.lower())
    if configured is None:
        raise ConfigurationError(
            f"no relay is configured for vendor {name!r};"
            f" set REENGAGE_RELAY_URL_{name.upper()} to smtp://host:587 or smtps://host:465"
        )
    url = relay.RelayUrl.parse(configured)
    require_host(vendor, url.host, url.port)
    _require_own_domain(vendor, run.practice.from_address)
    if run.settings.pinned_now is not None and url.host not in LOOPBACK:
        raise VendorError(
            "the clock is pinned (REENGAGE_PINNED_NOW), which is only for a relay on this machine;"
            " unset it"
        )
    return Endpoint(vendor, url, baa_id, day, run.settings.relay_trust)


def _require_own_domain(vendor: Vendor, from_address: str) -> None:
    """A relay that is declared as the practice's own is in the domain it writes from (SEC-24)."""
    own, domain = vendor.own_relay, from_address.rpartition("@")[2].lower()
    if own is not None and domain != own.domain and not domain.endswith(f".{own.domain}"):
        raise VendorError(
            f"relay {vendor.name!r} is declared as the practice's own in {own.domain}, and the"
            f" practice writes from {domain}; enter who runs it, with an agreement"
        )


def _record(run: Run, dag_run_id: str, baa_id: str, *, requires_tls: bool) -> None:
    # A cleared run opens the same record again: what was settled is to be settled anew.
    statement = text("""
        INSERT INTO run
            (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256, vendor, baa_id,
             requires_tls, warnings)
        VALUES (:run_id, :campaign, :day, :mode, :dag_run_id, :digest, :vendor, :baa,
            :requires_tls, CAST(:warnings AS text[]))
        ON CONFLICT (run_id) DO UPDATE SET
            campaign_date = excluded.campaign_date, mode = excluded.mode,
            campaign_sha256 = excluded.campaign_sha256, vendor = excluded.vendor,
            baa_id = excluded.baa_id, requires_tls = excluded.requires_tls,
            warnings = excluded.warnings, gate = NULL, verdicts = NULL,
            finished_at = NULL, shredded_at = NULL
    """)
    with run.store.begin() as connection:
        store.require_keyring(connection, run.keyring)
        refusals.replay(connection, run.settings.journal_path)  # SEC-08
        suppressions.replay(connection, run.settings.suppressions_path)
        if run.mode == "live":
            require_whole(connection, run)
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
                "baa": baa_id,
                "requires_tls": requires_tls,
                "warnings": _warnings(run),
            },
        )
        # Here, where nothing waits long for the lock that a new partition takes.
        connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": run.day})
        require_month_key(connection, run)  # SEC-19
        # Within the transaction: a key that cannot be made leaves no run without one behind.
        run.keyring.create_data_key(run.run_id)
        pay(connection, run.keyring)
        note_changes(connection, run)
        beginnings.passed(connection, run.run_id)
        complete(connection, run)
