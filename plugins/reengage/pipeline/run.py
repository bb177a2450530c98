"""A run: one campaign on one day, with everything its rooms need, and nothing of a patient.

The corridor (operators) or the command line opens it once per task; the rooms take it as their
first argument. Its identity derives from Airflow's DAG run, so that a retry, a cleared task and a
second worker speak of the same run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from reengage import store, warehouse
from reengage.campaigns import Campaign, load_campaign
from reengage.contract import Contract, load_contract
from reengage.errors import StoreError
from reengage.keys import DataKey, Keyring, digest, open_keyring
from reengage.practice import Practice, load_practice
from reengage.sealing.smime import Signer
from reengage.sealing.trust import Trust, load_trust
from reengage.settings import Settings
from reengage.vendors import Vendor, load_vendors, require_vendor

if TYPE_CHECKING:
    from reengage.pipeline.trail import Trail

Mode = Literal["live", "dry", "replay"]
_RUNS = UUID("3f0d1d3e-5d1c-4e0b-9d0f-6a4c6f2f8f11")


@dataclass(frozen=True)
class Run:
    """One campaign on one day. `live` sends; `dry` and `replay` never open a connection."""

    run_id: UUID
    day: date
    mode: Mode
    campaign: Campaign
    settings: Settings = field(repr=False)
    trail: Trail | None = field(default=None, repr=False)
    """The run events of the task at work; None = the corridor did not open the room."""

    @property
    def rehearsal(self) -> UUID | None:
        """What keeps rehearsed letters apart from real ones in the outbox's unique key."""
        return None if self.mode == "live" else self.run_id

    @cached_property
    def practice(self) -> Practice:
        """The practice that writes."""
        return load_practice(self.settings.home / "practice.yaml")

    @property
    def vendor(self) -> Vendor:
        """The campaign's vendor, as the registry has it now: it may change while a run sends."""
        return require_vendor(load_vendors(self.settings.vendors_path), self.campaign.vendor)

    @cached_property
    def contract(self) -> Contract:
        """The views that every source provides."""
        return load_contract(self.settings.home)

    @cached_property
    def keyring(self) -> Keyring:
        """The practice's keys."""
        return open_keyring(self.settings.keyring)

    @cached_property
    def signer(self) -> Signer | None:
        """Who signs the practice's S/MIME letters; None = it has no identity, and none is sent.

        Raises KeyringError where it has one that may not be used today: renewing it is a person's.
        """
        identity = self.keyring.smime_identity()
        if identity is None:
            return None
        address = self.practice.from_address
        return Signer.from_pem(*identity, address=address, at=self.settings.now())

    @cached_property
    def smime_trust(self) -> Trust:
        """The authorities that patients' certificates may come from, and what they revoked."""
        return load_trust(self.settings.smime_trust)

    @cached_property
    def suites_sha256(self) -> str:
        """Digest of all suites that a letter of the campaign passes."""
        files = (
            self.settings.home / "expectations" / f"{name}.json"
            for name in sorted(self.campaign.suites.names())
        )
        return digest(b"".join(digest(path.read_bytes()).encode() for path in files))

    @property
    def data_key(self) -> DataKey:
        """The run's data key. Raises KeyringError once it is destroyed."""
        return self.keyring.data_key(self.run_id)

    @cached_property
    def dkim_key(self) -> bytes:
        """The private key of the practice's selector, PEM."""
        return self.keyring.dkim_key(self.practice.dkim.selector)

    @cached_property
    def month_key(self) -> DataKey:
        """The key of the day's month, for what is kept as long as its decisions."""
        return self.keyring.create_month_key(self.day)

    @cached_property
    def store(self) -> Engine:
        """Our own database."""
        return store.connect(self.settings.store_url)

    @cached_property
    def warehouse(self) -> Engine:
        """The clinic's database, read only."""
        return warehouse.connect(self.settings.warehouse_url)

    @cached_property
    def warm_warehouse(self) -> Engine:
        """The same for who asks again and again: one session is kept, and tested before each use,
        until `dispose`.
        """
        return warehouse.connect(self.settings.warehouse_url, connections=1)

    def pseudonym(self, patient_key: str) -> str:
        """What a patient is called outside the vault."""
        return self.keyring.pseudonym("patient", patient_key)

    def today(self) -> date:
        """The practice's present day, in the campaign's time zone."""
        return local_day(self.settings.now(), self.campaign)

    def has_passed(self) -> bool:
        """Whether its day is over: it sends nothing more."""
        return self.today() > self.day


def derive_run_id(dag_id: str, dag_run_id: str) -> UUID:
    """The run's identity, the same for every task and retry of a DAG run."""
    return uuid5(_RUNS, f"{dag_id}/{dag_run_id}")


def local_day(instant: datetime, campaign: Campaign) -> date:
    """The calendar day of `instant` in the campaign's time zone."""
    return instant.astimezone(ZoneInfo(campaign.time_zone)).date()


def mode_of(day: date, today: date, *, dry: bool) -> Mode:
    """What a run of a day is: a past day is looked at once more and written to no more."""
    if dry:
        return "dry"
    return "replay" if day < today else "live"


def resume(settings: Settings, slug: str, run_id: UUID, trail: Trail | None = None) -> Run:
    """The run as preflight recorded it. Raises StoreError when preflight has not.

    A live run whose day has passed goes on as a replay: what it left open is for the campaign's
    next run to take over, and a letter of yesterday's decision is not composed today.
    """
    with store.connect(settings.store_url).connect() as connection:
        found = connection.execute(
            text("SELECT campaign_date, mode FROM run WHERE run_id = :run_id"), {"run_id": run_id}
        ).one_or_none()
    if found is None:
        raise StoreError(f"run {run_id} is not in the store; clear `preflight` so that it opens it")
    campaign = load_campaign(settings.home, slug)
    passed = found.campaign_date < local_day(settings.now(), campaign)
    mode: Mode = "replay" if found.mode == "live" and passed else found.mode
    return Run(run_id, found.campaign_date, mode, campaign, settings, trail)


def recorded_day(settings: Settings, run_id: UUID) -> date | None:
    """The campaign date that an earlier try of preflight fixed for this run, if any."""
    with store.connect(settings.store_url).connect() as connection:
        day: date | None = connection.execute(
            text("SELECT campaign_date FROM run WHERE run_id = :run_id"), {"run_id": run_id}
        ).scalar_one_or_none()
    return day
