"""What each command does. The functions bear the commands' names."""

from __future__ import annotations

import json
import os
import signal
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from sqlalchemy import Engine, text

from reengage import report as reports
from reengage import store
from reengage.embedded import postgres
from reengage.embedded.layout import Layout
from reengage.keys import open_keyring
from reengage.settings import HOME


def run(options: Namespace) -> int:
    """Run every campaign once; 0 when all of them ended well."""
    from reengage.embedded import main_job

    console = Console()
    _end_orderly()
    job = main_job.Job(options.data, options.as_of, options.dry)
    layout = Layout(HOME)
    with main_job.site(layout, job, console) as site:
        try:
            main_job.run_campaigns(site, job, console)
        finally:
            _summary(site, job, console)
    return 0


def ui(options: Namespace) -> int:
    """Run every campaign once, then stay up until interrupted."""
    from reengage.embedded import main_job

    console = Console()
    _end_orderly()
    job = main_job.Job(options.data, options.as_of, options.dry)
    with main_job.site(Layout(HOME), job, console, port=options.port) as site:
        try:
            main_job.run_campaigns(site, job, console)
        except main_job.CampaignFailed as error:
            console.print(f"[red]{error}[/]")
        _summary(site, job, console)
        flow = site.airflow
        console.print(f"\nAirflow is at [bold]{flow.address}[/], user admin, password {flow.password}")
        console.print("Ctrl-C or `make down` stops it.")
        signal.pause()
    return 0


def down(options: Namespace) -> int:
    """Stop what is left running."""
    from reengage.embedded.processes import stop_leftovers

    layout = Layout(HOME)
    stopped = stop_leftovers(layout)
    postgres.stop(layout.postgres)
    Console().print(f"stopped {stopped} process groups and PostgreSQL")
    return 0


def report(options: Namespace) -> int:
    """Print the funnel, as tables or as JSON."""
    with _store() as engine:
        funnels = reports.read_funnels(engine, HOME, options.as_of)
    if options.json:
        print(json.dumps([funnel.as_json() for funnel in funnels], indent=2))
    else:
        reports.render(funnels, Console())
    return 0


def sample(options: Namespace) -> int:
    """Write a sample warehouse."""
    from reengage.sources.sample import write_sample

    write_sample(
        options.directory, patients=options.patients, seed=options.seed, as_of=options.as_of
    )
    Console().print(f"{options.patients:,} patients written to {options.directory}")
    return 0


def opt_out(options: Namespace) -> int:
    """Record an opt-out; it holds from the next claim on, also for a run under way (EML-26)."""
    keyring = open_keyring(_keyring_directory())
    with _store() as engine, engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO opt_out (patient, campaign, channel)"
                " VALUES (:patient, :campaign, :channel) ON CONFLICT DO NOTHING"
            ),
            {
                "patient": keyring.pseudonym("patient", options.patient),
                "campaign": options.campaign,
                "channel": options.channel,
            },
        )
    Console().print("recorded; it holds from the next letter on")
    return 0


@contextmanager
def _store() -> Iterator[Engine]:
    """The store of the environment's settings, else that of the embedded default."""
    if url := os.environ.get("REENGAGE_STORE_URL"):
        yield store.connect(url)
        return
    with postgres.running(Layout(HOME).postgres) as server:
        engine = store.connect(server.url("store"))
        store.migrate(engine, HOME)
        yield engine


def _keyring_directory() -> Path:
    return Path(os.environ.get("REENGAGE_KEYRING") or Layout(HOME).keyring)


def _summary(site: main_job.Site, job: main_job.Job, console: Console) -> None:
    from reengage.embedded.main_job import as_of

    engine = store.connect(site.postgres.url("store"))
    console.print()
    reports.render(reports.read_funnels(engine, HOME, as_of(site.layout, job)), console)
    letters = site.layout.rehearsal if job.dry else site.layout.maildir
    console.print(f"letters   {letters}  (open one: `mutt -f {letters}`, or any mail client)")
    console.print("report    .venv/bin/python -m reengage report")
    console.print("UI        make ui")


def _end_orderly() -> None:
    """Let SIGTERM end a command as Ctrl-C does, so that everything it started is stopped."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
