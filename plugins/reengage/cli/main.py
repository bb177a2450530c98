"""The command line: one subcommand per question an operator has.

Exit status 0 = done, 1 = an error of ours with its text on standard error, 2 = wrong usage. Without
settings in the environment the commands speak to the embedded default of this checkout, starting
its PostgreSQL for as long as they need it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from reengage.cli.arguments import day, positive
from reengage.cli.staff_commands import add_staff
from reengage.cli.upkeep_commands import add_upkeep
from reengage.errors import ReengageError, place_of

_SAMPLE_DAY = date(2026, 1, 1)
_CHANNELS = ("desk", "phone", "mailto", "letter", "portal")
_KINDS = ("run_event", "intent", "disclosure", "access", "configuration", "checkpoint")
_PURPOSES = ("wrap", "pseudonym", "portal", "ledger", "smime", "dkim")
_SLASHED = ", ".join(_PURPOSES)
_PATIENT = (
    "the patient's key in the warehouse, or - to read it from standard input: on the command line"
    " it shows in the list of processes and in the shell's history"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = parser().parse_args(arguments)
    # Imported per command: `report` must not pay for what `run` needs.
    from psycopg import Error as DriverError
    from sqlalchemy.exc import SQLAlchemyError

    from reengage.cli import commands, staff_commands, upkeep_commands

    try:
        rooms = (staff_commands, upkeep_commands, commands)
        action = next(found for room in rooms if (found := getattr(room, options.command, None)))
        return int(action(options) or 0)
    except ReengageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (SQLAlchemyError, DriverError) as error:
        # A driver's text may quote a row or a password; its kind is enough to know where to look.
        print(
            f"error: a database did not answer as expected ({type(error).__name__}); check that"
            " the server is up and migrated, REENGAGE_STORE_URL and REENGAGE_WAREHOUSE_URL",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        # Neither its text nor a traceback: both may quote a patient.
        print(f"error: {place_of(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments, as `--help` and docs/reference/commands.md show them."""
    parser = argparse.ArgumentParser(prog="python -m reengage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run every campaign once in Airflow, print the funnel")
    _add_job_options(run)

    ui = commands.add_parser("ui", help="run, then stay up; print address and log-ins")
    _add_job_options(ui)
    ui.add_argument("--port", type=int, default=8080, help="preferred port (8080)")

    commands.add_parser("down", help="stop whatever a run or the UI left running")
    commands.add_parser("clean", help="stop it, and remove var/ and this checkout's keys")

    report = commands.add_parser("report", help="the funnel of each campaign's latest run")
    report.add_argument("--json", action="store_true", help="an array with one object per campaign")
    report.add_argument(
        "--as-of", type=day, metavar="DAY", help="a day's runs instead of the latest"
    )
    report.add_argument("--campaign", metavar="SLUG", help="who came back of its patients instead")

    sample = commands.add_parser("sample", help="write a sample warehouse in Synthea's CSV layout")
    sample.add_argument("directory", type=Path, metavar="DIRECTORY", help="it is made")
    sample.add_argument("--patients", type=positive, default=5000, metavar="N", help="how many")
    sample.add_argument("--seed", type=int, default=7, metavar="N", help="another, other patients")
    sample.add_argument("--as-of", type=day, metavar="DAY", default=_SAMPLE_DAY, help="of it")

    _add_refusals(commands)
    _add_explanations(commands)
    _add_ledger(commands)
    _add_keys(commands)
    _add_unknown(commands)
    _add_suppressions(commands)
    _add_outcomes(commands)
    _add_portal(commands)
    add_staff(commands)
    add_upkeep(commands)

    commands.add_parser("check", help="check every campaign, vendor, template and suite file")

    commands.add_parser("migrate", help="bring the store to this version's schema")

    warehouse = commands.add_parser("warehouse", help="the views that a warehouse must have")
    actions = warehouse.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("check", help="what they get wrong, measured against the contract")
    actions.add_parser("views", help="them as SQL, to be filled in; empty, but as it says")

    generate = commands.add_parser("generate", help="write the files that are made from code")
    generate.set_defaults(parser=parser)  # one of those files tells of every command
    generate.add_argument("--check", action="store_true", help="only say which are out of date")
    return parser


def _add_explanations(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    why = commands.add_parser("why", help="why a patient was written to on a day, or not")
    why.add_argument("--patient", required=True, help=_PATIENT)
    why.add_argument("--date", type=day, metavar="DAY", required=True, help="the campaign's day")
    why.add_argument("--campaign", help="only this campaign; without it, all")
    why.add_argument("--json", action="store_true", help="an array with one object per campaign")

    commands.add_parser("purge", help="remove what was kept long enough (docs/retention.md)")

    accept = commands.add_parser(
        "accept_counts",
        aliases=["accept-counts"],
        help="accept row counts of the source that the gate took for a failed load",
    )
    accept.set_defaults(command="accept_counts")
    accept.add_argument("--campaign", help="only this campaign; without it, all")
    accept.add_argument("--reason", required=True, help="why it is right, for whoever asks later")


def _add_outcomes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    outcomes = commands.add_parser("outcomes", help="ask who came back, and make the report")
    outcomes.add_argument(
        "--as-of", type=day, metavar="DAY", help="a day that is over; without it, yesterday"
    )

    experiment = commands.add_parser("experiment", help="the comparison of a campaign's variants")
    actions = experiment.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what it says so far; look as often as you like")
    show.add_argument("campaign", metavar="SLUG", help="the campaign")
    stop = actions.add_parser("stop", help="end it: everybody gets one variant from then on")
    stop.add_argument("campaign", metavar="SLUG", help="the campaign")
    stop.add_argument("--keep", required=True, help="the variant that everybody gets")
    stop.add_argument("--because", required=True, help="why, for whoever asks later")


def _add_refusals(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    opt_out = commands.add_parser("opt_out", aliases=["opt-out"], help="record a patient's opt-out")
    opt_out.set_defaults(command="opt_out")
    opt_out.add_argument("--patient", required=True, help=_PATIENT)
    opt_out.add_argument("--campaign", help="only this campaign; without it, all")
    opt_out.add_argument("--channel", default="desk", choices=_CHANNELS[:-1], help="how it came")

    revoke = commands.add_parser("revoke", help="record that a patient revoked an authorization")
    revoke.add_argument("--patient", required=True, help=_PATIENT)
    revoke.add_argument(
        "--purpose", choices=["email", "marketing", "part2"], help="only this one; without it, all"
    )
    revoke.add_argument("--channel", required=True, choices=_CHANNELS, help="how it reached you")
    revoke.add_argument("--at", type=_instant, help="when it was received; without it, now")

    journal = commands.add_parser("journal", help="the journal of opt-outs and revocations")
    journal.add_argument(
        "action", choices=["mend"], help="write what the store knows, where the journal was lost"
    )


def _add_ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ledger = commands.add_parser("ledger", help="the audit trail: verify, prove, export, follow it")
    actions = ledger.add_subparsers(dest="action", required=True, metavar="ACTION")

    verify = actions.add_parser("verify", help="derive everything again from bytes; 1 = a finding")
    verify.add_argument("--export", metavar="LOCATION", help="an export instead of the store")
    verify.add_argument("--json", action="store_true", help="the verdict as an object")
    check = actions.add_parser("check_proof", aliases=["check-proof"], help="check a proof's file")
    check.set_defaults(action="check_proof")
    check.add_argument("file", type=Path, metavar="FILE", help="what `ledger prove` wrote")
    for reader in (verify, check):
        reader.add_argument("--keys", type=Path, help="verifier keys to trust; the keyring's")

    signing = actions.add_parser("checkpoint", help="sign the ledger as it stands")
    restored = actions.add_parser(
        "restored", help="the store came back from a backup: send nothing again that it forgot"
    )
    restored.add_argument("--because", required=True, metavar="WORDS", help="kept in the ledger")
    restored.add_argument(
        "--nothing-lost", action="store_true",
        help="it has everything, only elsewhere: a synchronous standby took over",
    )  # fmt: skip
    prove = actions.add_parser("prove", help="a file that proves an entry without the database")
    prove.add_argument("index", type=_index, metavar="INDEX", help="of the entry, from 0 on")
    prove.add_argument("-o", "--output", type=Path, help="the file; without it, standard output")

    export = actions.add_parser("export", help="write what is new to files that never change")
    export.add_argument("location", metavar="LOCATION", help="a directory, or any fsspec URL")
    for user in (verify, signing, restored, prove, export):
        user.add_argument("--checkpoints", metavar="LOCATION", help="where they lie, if elsewhere")

    _add_readers(actions)


def _add_keys(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser("keys", help="list keys, make new ones, destroy old ones")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("make", help="the keyring, where there is none yet")
    listing = actions.add_parser("list", help="every key: state, and how much rests on it")
    listing.set_defaults(action="list_")
    rotate = actions.add_parser("rotate", help="a new key seals or signs; the old ones open")
    reseal = actions.add_parser("reseal", help="bring data keys and secret files under the newest")
    reseal.add_argument(
        "--from", dest="came_from", metavar="SERVICE", help="the key service of before, or files"
    )
    destroy = actions.add_parser("destroy", help="what only this old key opens is unreadable")
    for action in (rotate, destroy):
        action.add_argument("purpose", choices=_PURPOSES, metavar="PURPOSE", help=_SLASHED)
    rotate.add_argument("--selector", help="dkim: the new key's name in the DNS")
    destroy.add_argument("number", type=positive, metavar="NUMBER", help="of the key")
    destroy.add_argument(
        "--with", dest="agreed", type=_count, default=0, metavar="N",
        help="agree to losing exactly so many things",
    )  # fmt: skip


def _add_unknown(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    letters = commands.add_parser("unknown", help="letters that may have been delivered")
    actions = letters.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all of them, the oldest first")
    listing.set_defaults(action="list_")
    listing.add_argument("--json", action="store_true", help="an array with one object per letter")
    resolve = actions.add_parser("resolve", help="say what became of one; it is never sent again")
    resolve.add_argument("letter", type=_id, metavar="LETTER", help="its id, as the list has it")
    resolve.add_argument("--as", dest="verdict", choices=["sent", "refused"], required=True)
    resolve.add_argument("--because", required=True, help="what was looked at; names nobody")
    evidence = actions.add_parser("evidence", help="what mailboxes, notices or logs say of them")
    evidence.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE-OR-DIR",
        help="a Maildir, delivery notices (RFC 3464), Postfix's log",
    )  # fmt: skip
    evidence.add_argument(
        "--resolve", action="store_true", help="resolve what they decide, in your name"
    )


def _add_suppressions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    held = commands.add_parser("suppressions", help="addresses and patients that are left alone")
    actions = held.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all in force, the newest first")
    listing.set_defaults(action="list_")
    listing.add_argument("--json", action="store_true", help="an array, one object each")
    lift = actions.add_parser("lift", help="end one; letters go there again")
    lift.add_argument(
        "suppression", type=_id, metavar="SUPPRESSION", help="its id, as the list has it"
    )
    lift.add_argument("--because", required=True, help="what was looked at; names nobody")
    go_on = actions.add_parser("continue", help="go on with a campaign that was called spam")
    go_on.set_defaults(action="go_on")
    go_on.add_argument("campaign", metavar="SLUG", help="the campaign")
    go_on.add_argument("--because", required=True, help="what was looked at; names nobody")


def _add_portal(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    portal = commands.add_parser("portal", help="serve patients: letters, opting out, preferences")
    portal.set_defaults(action="serve")
    portal.add_argument("--host", default="127.0.0.1", help="address it listens at")
    portal.add_argument("--port", type=positive, default=8443, help="port it listens at")
    portal.add_argument("--certificate", type=Path, metavar="FILE", help="chain in PEM, for TLS")
    portal.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    portal.add_argument("--behind-proxy", action="append", default=[], metavar="ADDRESS",
                        help="address or network of a server before it, repeatable")  # fmt: skip
    actions = portal.add_subparsers(dest="action", metavar="ACTION")
    tend = actions.add_parser("tend", help="open incidents, send messages, remove what is over")
    tend.add_argument("--every", type=positive, metavar="SECONDS", help="and go on doing so")
    actions.add_parser("incidents", help="letters that are locked or were reported, and whose")
    reopen = actions.add_parser("reopen", help="let a locked letter be opened again")
    reopen.add_argument("message", metavar="MESSAGE", help="an incident's id, or a letter's")


def _add_readers(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    told = actions.add_parser("disclosures", help="accounting of disclosures, 45 CFR 164.528")
    told.add_argument("--patient", required=True, help=_PATIENT)
    told.add_argument("--from", dest="first", type=day, required=True, help="first day")
    told.add_argument("--to", dest="last", type=day, required=True, help="last day, included")
    told.add_argument("--csv", type=Path, metavar="FILE", help="as RFC 4180 has it")
    told.add_argument("--pdf", type=Path, metavar="FILE", help="a letter to the patient")

    tail = actions.add_parser("tail", help="the newest entries, one a line")
    tail.add_argument("-n", "--lines", type=positive, default=20, help="how many (20)")
    tail.add_argument("--follow", action="store_true", help="and those to come")
    tail.add_argument("--kind", choices=_KINDS, help="of this kind only")
    tail.add_argument("--json", action="store_true", help="the entries' own bytes")

    mirror = actions.add_parser("mirror", help="tell the lineage backend what it was not told yet")
    how = mirror.add_mutually_exclusive_group()
    how.add_argument("--follow", action="store_true", help="and go on doing so")
    how.add_argument("--status", action="store_true", help="only say how far it was told")


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help="an export of Synthea, OMOP or FHIR; without it, the sample"
    )
    parser.add_argument("--as-of", type=day, metavar="DAY", help="play this day (today)")
    parser.add_argument("--dry", action="store_true", help="everything but the SMTP conversation")
    parser.add_argument("--campaign", metavar="SLUG", help="only this campaign; without it, all")


def _instant(value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise argparse.ArgumentTypeError("write an instant like 2026-06-01T15:00:00-05:00")
    return instant


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise argparse.ArgumentTypeError("write an id, as the list has it") from None


def _index(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise argparse.ArgumentTypeError("write an entry's index, a number from 0 on")
    return int(value)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise argparse.ArgumentTypeError("expected a number of 0 or more")
    return int(value)
