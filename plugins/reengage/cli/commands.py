"""What each command does. The functions bear the commands' names."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from reengage import report as reports
from reengage import store
from reengage.campaigns import load_campaigns
from reengage.cli import places, refuse
from reengage.cli.actor import record_access
from reengage.embedded import postgres
from reengage.embedded.layout import Layout
from reengage.errors import ReengageError
from reengage.keys import open_keyring
from reengage.settings import HOME, vendors_path

if TYPE_CHECKING:
    from reengage.embedded import main_job
    from reengage.embedded.airflow import Airflow


def run(options: Namespace) -> int:
    """Run every campaign once; 0 when all of them ended well."""
    from reengage.embedded import main_job

    console = Console()
    _end_orderly()
    job = main_job.Job(options.data, options.as_of, options.dry)
    with main_job.site(Layout(HOME), job, console) as site:
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
        except (main_job.CampaignFailedError, main_job.AuditFailedError) as error:
            console.print(f"[red]{error}[/]")
        _summary(site, job, console)
        _tell_log_ins(site.airflow, console)
        console.print("Ctrl-C or `make down` stops it.")
        signal.pause()
    return 0


def down(options: Namespace) -> int:
    """Stop what is left running."""
    from reengage.embedded.processes import stop_job, stop_leftovers

    layout = Layout(HOME)
    job = stop_job(layout)  # in its orderly way, which stops all that it started
    left = stop_leftovers(layout) + postgres.stop(layout.postgres)
    Console().print("stopped" if job or left else "nothing was running")
    return 0


def clean(options: Namespace) -> int:
    """Stop what is left running, and remove what was made: var/ and this checkout's keys."""
    down(options)
    layout = Layout(HOME)
    for directory in (layout.var, layout.keyring):
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def report(options: Namespace) -> int:
    """Print the funnel, or who came back, as tables or as JSON."""
    if options.campaign:
        from reengage.cli import outcomes as returns

        return returns.report(options, HOME)
    with places.store(HOME) as engine:
        funnels = reports.read_funnels(engine, HOME, options.as_of)
        if funnels:  # who looked at it is on record before it is shown
            days = sorted({funnel.as_of.isoformat() for funnel in funnels})
            keyring = open_keyring(places.keyring(HOME))
            record_access(engine, keyring, "opened", "report", {"days": days})
    if options.json:
        print(json.dumps([funnel.as_json() for funnel in funnels], indent=2))
    elif options.as_of and not funnels:
        Console().print(f"No run for {options.as_of}: `reengage report` shows the latest.")
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
    """Record that a patient wants no letters; 1 when the warehouse has no such patient."""
    return refuse.opt_out(options, HOME)


def revoke(options: Namespace) -> int:
    """Record that a patient revoked an authorization; 1 when the warehouse has no such patient."""
    return refuse.revoke(options, HOME)


def journal(options: Namespace) -> int:
    """Join the journal of refusals and the store, where the journal was lost."""
    return refuse.journal(options, HOME)


def why(options: Namespace) -> int:
    """Tell each rule's outcome for one patient and day."""
    from reengage.cli import explain

    return explain.why(options, HOME)


def purge(options: Namespace) -> int:
    """Drop decisions that have been kept for as long as they had to be."""
    from reengage.cli import explain

    return explain.purge(options, HOME)


def accept_counts(options: Namespace) -> int:
    """Accept a change in the source's row counts that the gate refused."""
    from reengage.cli import explain

    return explain.accept_counts(options, HOME)


def ledger(options: Namespace) -> int:
    """Verify, sign, prove from, take out or follow the ledger."""
    from reengage.cli import disclosures
    from reengage.cli import ledger as ledgers

    if options.action == "disclosures":
        return disclosures.disclosures(options, HOME)
    action: Callable[[Namespace, Path], int] = getattr(ledgers, options.action)
    return action(options, HOME)


def keys(options: Namespace) -> int:
    """List keys, make new ones, bring old things under them, destroy old ones."""
    from reengage.cli import keys as keyrings

    action: Callable[[Namespace, Path], int] = getattr(keyrings, options.action)
    return action(options, HOME)


def unknown(options: Namespace) -> int:
    """List the letters that may have been delivered, look for evidence, resolve them."""
    from reengage.cli import unknown as letters

    action: Callable[[Namespace, Path], int] = getattr(letters, options.action)
    return action(options, HOME)


def suppressions(options: Namespace) -> int:
    """List who is left alone and why, end one."""
    from reengage.cli import suppressions as held

    action: Callable[[Namespace, Path], int] = getattr(held, options.action)
    return action(options, HOME)


def outcomes(options: Namespace) -> int:
    """Ask the warehouse who came back, and make the report of a day."""
    from reengage.cli import outcomes as returns

    return returns.outcomes(options, HOME)


def experiment(options: Namespace) -> int:
    """Show the comparison of a campaign's variants, or end it."""
    from reengage.cli import outcomes as returns

    action: Callable[[Namespace, Path], int] = getattr(returns, options.action)
    return action(options, HOME)


def portal(options: Namespace) -> int:
    """Serve patients, tend to what that leaves, reopen a letter."""
    from reengage.cli import portal as portals

    action: Callable[[Namespace, Path], int] = getattr(portals, options.action or "serve")
    return action(options, HOME)


def check(options: Namespace) -> int:
    """Check every file that a run reads; 1 when one has a problem, each named with its fix."""
    from reengage.campaigns import load_campaigns
    from reengage.checks import load_suite
    from reengage.jurisdictions import load_jurisdictions
    from reengage.practice import load_practice
    from reengage.templates import load_template
    from reengage.vendors import load_vendors

    sound, broken = load_campaigns(HOME)
    problems: list[ReengageError] = [*broken]
    suites = sorted(path.stem for path in (HOME / "expectations").glob("*.json"))
    templates = sorted(
        {(f, language) for c in sound for f in c.folders().values() for language in c.languages}
    )
    steps: list[Callable[[], object]] = [
        partial(load_practice, HOME / "practice.yaml"),
        partial(load_vendors, vendors_path(HOME)),
        partial(load_jurisdictions, HOME / "jurisdictions.yaml"),
        *(partial(load_suite, HOME, suite) for suite in suites),
        *(partial(load_template, HOME, *template) for template in templates),
    ]
    for step in steps:
        try:
            step()
        except ReengageError as error:
            problems.append(error)
    for problem in dict.fromkeys(str(problem) for problem in problems):
        print(problem, file=sys.stderr)
    if not problems:
        Console().print(f"{len(sound)} campaigns and all that they name are sound")
    return int(bool(problems))


def warehouse(options: Namespace) -> int:
    """Say what the warehouse's views get wrong; 1 when there is anything."""
    from reengage import warehouse as warehouses
    from reengage.contract import load_contract

    with places.warehouse(HOME) as engine:
        findings = warehouses.check(engine, load_contract(HOME))
    for finding in findings:
        print(finding, file=sys.stderr)
    if not findings:
        Console().print("the warehouse's views are as the contract says")
    return int(bool(findings))


def migrate(options: Namespace) -> int:
    """Bring the store to this version's schema; the embedded default does so by itself."""
    with places.store(HOME) as engine:
        store.migrate(engine, HOME)
    Console().print("the store has this version's schema")
    return 0


def generate(options: Namespace) -> int:
    """Write the files that are made from code, or with --check say which are out of date."""
    from reengage.cli import generated

    files = generated.files(HOME)
    stale = [path for path, content in files.items() if not _is(path, content)]
    for path in stale:
        if options.check:
            print(f"{path.relative_to(HOME)} is out of date; run `make fix`", file=sys.stderr)
        else:
            path.write_text(files[path], encoding="utf-8")
    return int(bool(stale) and options.check)


def _is(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == content


def _summary(site: main_job.Site, job: main_job.Job, console: Console) -> None:
    from reengage import outcome_report  # brings numpy, which few commands need

    engine = store.connect(site.postgres.url("store"))
    console.print()
    reports.render(reports.read_funnels(engine, HOME, job.day), console)
    with engine.connect() as connection:
        for campaign in load_campaigns(HOME)[0]:
            told = outcome_report.in_a_line(connection, campaign.slug, job.day)
            console.print(f"came back {told}", soft_wrap=True)
    letters = site.layout.rehearsal if job.dry else site.layout.maildir
    console.print(f"letters   {letters}, a Maildir: any mail client opens it", soft_wrap=True)
    console.print("report    .venv/bin/python -m reengage report")
    console.print("UI        make ui")


def _tell_log_ins(flow: Airflow, console: Console) -> None:
    """Where Airflow is, and a log-in for each role."""
    console.print(f"\nAirflow is at [bold]{flow.address}[/]. Log in as:")
    table = Table(box=None, header_style="", pad_edge=False)
    for heading in ("user", "password", "role", "finds the reports under"):
        table.add_column(heading, no_wrap=True)
    for log_in in flow.people:
        table.add_row(log_in.user, log_in.password, log_in.role, f"{flow.address}/plugin/reengage")
    # As wide as it must be: a password that is cut off is none.
    Console(file=console.file, width=200).print(table)


def _end_orderly() -> None:
    """Let each signal that ends a command do it as Ctrl-C does: all that it started is stopped.

    Once: a second one must not break the stopping off half-way.
    """
    heeded = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def interrupt(number: int, frame: object) -> None:
        for one in heeded:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)
