"""The main job of the embedded default: data in, one Airflow run per campaign, letters out.

Everything it starts (PostgreSQL, the SMTP relay, Airflow) is stopped when the job ends, however it
ends. Set-up is skipped where it was done before: a second run takes seconds to begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from sqlalchemy import create_engine

from reengage import store
from reengage.campaigns import Campaign, load_campaign, load_campaigns
from reengage.crypto_module import crypto_module
from reengage.embedded import airflow, installation, postgres
from reengage.embedded.correspondents import Authority, ensure_correspondents, ensure_identity
from reengage.embedded.layout import Layout
from reengage.embedded.processes import ProcessError, free_port, only_job
from reengage.embedded.relay import RelayProcess
from reengage.errors import ReengageError
from reengage.keys import Keyring, ensure_keyring
from reengage.practice import load_practice
from reengage.settings import CHECKPOINTS, HOME
from reengage.sources import loading, sample
from reengage.sources.detect import source_of

SAMPLE_PATIENTS = 5000
SAMPLE_SEED = 7
RUN_SECONDS = 1800
TASKS = "tasks"
"""The role that Airflow's tasks use the store as: they own nothing of it, nor of the ledger."""
REASONS = 5
"""Of a failed run, at most how many are told."""
WAITS = "waits for a person"
GIVEN_UP = "waited for a person's answer; this run asks anew, if there is still something to ask"
AUDIT = "reengage_audit"
AUDIT_TASKS = ("verify", "checkpoint", "reconcile")
"""Those whose results the summary tells."""


@dataclass(frozen=True)
class Job:
    """What to run: an export or the sample, as of which day, with or without sending, which."""

    data: Path | None = None
    as_of: date | None = None
    dry: bool = False
    campaign: str | None = None
    """Only this one; None = every campaign."""

    @cached_property
    def day(self) -> date:
        """The day it plays: the one named, else the practice's today when it was first asked."""
        return self.as_of or datetime.now(_practice_zone(HOME)).date()


@dataclass(frozen=True)
class Site:
    """The running embedded default."""

    layout: Layout
    postgres: postgres.Postgres
    airflow: airflow.Airflow
    variables: dict[str, str]


class CampaignFailedError(ReengageError):
    """At least one campaign's run failed; the text names task and reason."""


@contextmanager
def site(layout: Layout, job: Job, console: Console, *, port: int = 0) -> Iterator[Site]:
    """PostgreSQL with the data loaded, the relay and Airflow, all up; all stopped at the end."""
    clock = _Stopwatch(console)
    with only_job(layout), _store_of(layout, console) as server:
        keyring = ensure_keyring(layout.keyring)
        clock.lap("PostgreSQL is up")
        made_up = _load_warehouse(layout, server, job, clock) == "synthea"
        if made_up:
            _equip(layout, server, keyring)
        store.migrate(store.connect(server.url("store")), layout.home)
        postgres.ensure_member(server, TASKS, "reengage_tasks")
        installation.approve(store.connect(server.url("store")), layout.home, keyring)
        relay = RelayProcess(layout.maildir, layout.certificates, layout.logs / "relay.log")
        with relay:
            clock.lap("store migrated, SMTP relay with TLS is up")
            console.print(f"  {_modules()}", soft_wrap=True)
            variables = _variables(layout, server, relay, job, free_port(port), made_up=made_up)
            with airflow.running(layout, variables) as flow:
                clock.lap("Airflow is up")
                yield Site(layout, server, flow, variables)


@contextmanager
def _store_of(layout: Layout, console: Console) -> Iterator[postgres.Postgres]:
    """PostgreSQL while the block runs; where it is a new one, with a ledger of its own."""
    if not postgres.exists(layout.postgres):
        aside = set_checkpoints_aside(layout, datetime.now(UTC))
        if aside is not None:
            console.print(
                f"  the ledger went with var/: its checkpoints are now in {aside}", soft_wrap=True
            )
    with postgres.running(layout.postgres) as server:
        yield server


def set_checkpoints_aside(layout: Layout, now: datetime) -> Path | None:
    """Move what was signed of a ledger that is gone out of the way of the next; gives where to.

    `var/` may be deleted, or the checkout with it: the next ledger begins at nothing, and verified
    against those checkpoints it would be one that somebody cut off. Keys and journals stay, so
    that a refusal holds. Elsewhere nothing does this: there a ledger that is gone is a finding.
    """
    signed = layout.keyring / CHECKPOINTS
    if not signed.is_dir():
        return None
    return signed.rename(signed.with_name(f"{CHECKPOINTS}.until-{now:%Y%m%dT%H%M%S.%f}Z"))


class AuditFailedError(ReengageError):
    """The campaigns ran, and the audit of the ledger found something; the text says what."""


def run_campaigns(site: Site, job: Job, console: Console) -> None:
    """Run every campaign's DAG once, wait, then the audit's, whatever became of the campaigns.

    Raises CampaignFailedError naming what failed, AuditFailedError where it is the audit alone.
    """
    found, broken = load_campaigns(site.layout.home)
    if job.campaign:
        found, broken = [load_campaign(site.layout.home, job.campaign)], []
    for error in broken:
        console.print(f"[red]left out:[/] {error}")
    failed = run_each(site, job, console, found)
    try:
        red = run_audit(site, console)
    except ProcessError as error:  # what failed before it is told all the same
        red = f"{AUDIT}: {error}"
    if failed or broken:
        reasons = "\n".join(failed) or "a campaign file is broken, see above"
        raise CampaignFailedError("\n".join(filter(None, (reasons, red))))
    if red:
        raise AuditFailedError(red)


def run_audit(site: Site, console: Console) -> str | None:
    """Run the audit's DAG once and wait; tells what it found in a line, gives why it failed."""
    client, dag_run_id = site.airflow.client, _new_run_id()
    client.wait_for_dag(AUDIT)
    client.unpause(AUDIT)
    client.trigger(AUDIT, dag_run_id, {})
    state = _wait(site, {AUDIT: dag_run_id}, console)[AUDIT]
    found = {task: client.result(AUDIT, dag_run_id, task) for task in AUDIT_TASKS}
    console.print(f"ledger    {_audited(found)}", soft_wrap=True)
    return None if state == "success" else _why(site, AUDIT, dag_run_id)


def _audited(found: dict[str, Any]) -> str:
    """What the audit found, in a line; a task that failed or did not run gave nothing."""
    verified, signed, compared = (found[task] for task in AUDIT_TASKS)
    parts = [
        f"{verified['entries']:,} entries, verified" if verified else "[red]not verified[/]",
        f"checkpoint {signed['size']:,} {signed['root']}" if signed else "[red]no checkpoint[/]",
        f"{compared['tries']:,} tries reconciled, gaps 0"
        if compared
        else "[red]gaps, see below[/]",
    ]
    return ", ".join(parts)


def run_each(site: Site, job: Job, console: Console, found: Sequence[Campaign]) -> list[str]:
    """Run these campaigns' DAGs in the order of their schedules; gives why, for each that failed.

    One after the other, as on any day: a cap across campaigns leaves out whoever comes later.
    """
    client, dag_run_id = site.airflow.client, _new_run_id()
    failed = []
    for campaign in sorted(found, key=_first_run):
        dag_id = campaign.dag_id
        client.wait_for_dag(dag_id)
        client.unpause(dag_id)
        # A campaign has one run at a time: behind one that waits for an answer this one would, too.
        for waiting in client.asked(dag_id):
            client.end(dag_id, waiting, GIVEN_UP)
            console.print(f"  {dag_id}: {waiting} {GIVEN_UP}", soft_wrap=True)
        client.trigger(dag_id, dag_run_id, {"dry": job.dry})
        state = _wait(site, {dag_id: dag_run_id}, console)[dag_id]
        if state == WAITS:
            failed.append(f"{dag_id}: {installation.WAITS_FOR_SOMEBODY}")
        elif state != "success":
            failed.append(_why(site, dag_id, dag_run_id))
    return failed


def _new_run_id() -> str:
    return f"manual__{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"


def _first_run(campaign: Campaign) -> tuple[datetime, str]:
    """When the campaign's schedule runs first on some day; the slug settles a tie."""
    day = datetime(2024, 1, 1, tzinfo=ZoneInfo(campaign.time_zone)) - timedelta(minutes=1)
    return campaign.next_run(day), campaign.slug


def _wait(site: Site, runs: dict[str, str], console: Console) -> dict[str, str]:
    deadline = monotonic() + RUN_SECONDS
    states = dict.fromkeys(runs, "queued")
    with console.status("Airflow is at work") as status:
        while any(state in ("queued", "running") for state in states.values()):
            if monotonic() > deadline:
                raise ProcessError(f"Airflow did not end within {RUN_SECONDS} s; see var/log")
            sleep(0.3)
            for dag_id, dag_run_id in runs.items():
                if states[dag_id] in ("queued", "running"):
                    states[dag_id] = _state(site, dag_id, dag_run_id)
                    if states[dag_id] not in ("queued", "running"):
                        console.print(f"  {dag_id}: {states[dag_id]}")
            waiting = [dag_id for dag_id, state in states.items() if state in ("queued", "running")]
            status.update("running: " + ", ".join(waiting))
    return states


def _state(site: Site, dag_id: str, dag_run_id: str) -> str:
    """The run's state; `WAITS` where it goes no further before somebody answers."""
    client = site.airflow.client
    state = client.run_state(dag_id, dag_run_id)
    if state == "running" and client.is_asked(dag_id, dag_run_id):
        return WAITS
    return state


def _why(site: Site, dag_id: str, dag_run_id: str) -> str:
    """Whole, for whoever runs this machine: the run's note, which an Analyst reads, says less."""
    reasons = "\n".join(site.airflow.client.reasons(dag_id, dag_run_id)[:REASONS])
    none = f"failed without a reason of ours, see the logs in {site.layout.airflow / 'logs'}"
    return f"{dag_id}: {reasons or none}"


def _load_warehouse(layout: Layout, server: postgres.Postgres, job: Job, clock: _Stopwatch) -> str:
    """Load what the job names, unless it is there; gives the kind of source."""
    directory = job.data or layout.sample
    if job.data is None:
        marker = layout.sample / "as_of"
        wanted = f"{job.day} {SAMPLE_PATIENTS} {SAMPLE_SEED}"
        if not marker.exists() or marker.read_text(encoding="ascii") != wanted:
            sample.write_sample(
                layout.sample, patients=SAMPLE_PATIENTS, seed=SAMPLE_SEED, as_of=job.day
            )
            marker.write_text(wanted, encoding="ascii")
            clock.lap(f"sample warehouse of {SAMPLE_PATIENTS:,} patients written")
    source = source_of(directory)
    engine = create_engine(server.url("warehouse"), hide_parameters=True)
    try:
        if not loading.already_loaded(engine, source, directory, layout.home):
            loading.load(engine, source, directory, layout.home)
        clock.lap(f"warehouse loaded from {directory}")
    finally:
        engine.dispose()
    return source.name


def _equip(layout: Layout, server: postgres.Postgres, keyring: Keyring) -> None:
    """Let some of the made-up patients have certificates, and the practice sign."""
    authority = Authority(layout.correspondents)
    authority.ensure()
    practice = load_practice(layout.home / "practice.yaml")
    ensure_identity(keyring, authority, name=practice.name, email=practice.from_address)
    engine = create_engine(server.url("warehouse"), hide_parameters=True)
    try:
        ensure_correspondents(engine, authority)
    finally:
        engine.dispose()


def _modules() -> str:
    """Which cryptographic modules are at work (SEC-26)."""
    found = {name: told["version"] for name, told in crypto_module().items()}
    status = {str(told["status"]) for told in crypto_module().values()}
    return f"TLS by {found['tls']}, sealing by {found['sealing']}; {'; '.join(sorted(status))}"


def _variables(
    layout: Layout,
    server: postgres.Postgres,
    relay: RelayProcess,
    job: Job,
    port: int,
    *,
    made_up: bool,
) -> dict[str, str]:
    product = {
        "HOME": layout.home,  # also what the DAG files read their campaigns from
        "WAREHOUSE_URL": server.url("warehouse", "extractor"),
        "STORE_URL": server.url("store", TASKS),
        "AIRFLOW_URL": airflow.account_url(layout, port),
        "KEYRING": layout.keyring,
        "RELAY_URL_EMBEDDED": relay.url,
        "RELAY_TRUST": relay.ca,
        "REHEARSAL_MAILDIR": layout.rehearsal,
        "RETURNS_MAILDIR": layout.returns,
        "PINNED_NOW": pinned_now(layout, job).isoformat(),
    }
    if made_up:
        product["SMIME_TRUST"] = layout.correspondents
    ours = {f"REENGAGE_{name}": str(value) for name, value in product.items()}
    return airflow.environment(layout, server.url("airflow"), port) | ours


def pinned_now(layout: Layout, job: Job) -> datetime:
    """Noon of the day that the job plays, in the practice's time zone.

    Pinned, so that a past export plays as if it were that day, and a run at night is not told that
    the send window is closed. Only a relay on this machine accepts a pinned clock (preflight).
    """
    return datetime.combine(job.day, time(12), _practice_zone(layout.home)).astimezone(UTC)


def _practice_zone(home: Path) -> ZoneInfo:
    return ZoneInfo(load_practice(home / "practice.yaml").time_zone)


class _Stopwatch:
    """Says what was done and how long it took, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = monotonic()

    def lap(self, what: str) -> None:
        now = monotonic()
        self._console.print(f"  {what} [dim]({now - self._last:.1f} s)[/]")
        self._last = now
