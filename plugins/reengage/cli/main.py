"""The command line: one subcommand per question an operator has.

Exit status 0 = done, 1 = an error of ours with its text on standard error, 2 = wrong usage. Without
settings in the environment the commands speak to the embedded default of this checkout, starting
its PostgreSQL for as long as they need it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from reengage.errors import ReengageError, place_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    # Imported per command: `report` must not pay for what `run` needs.
    from psycopg import Error as DriverError
    from sqlalchemy.exc import SQLAlchemyError

    from reengage.cli import commands

    try:
        return int(getattr(commands, options.command)(options) or 0)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reengage", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run every campaign once in Airflow and print the funnel")
    _add_job_options(run)

    ui = commands.add_parser("ui", help="the same, then stay up and print address and log-in")
    _add_job_options(ui)
    ui.add_argument("--port", type=int, default=8080, help="preferred port (8080)")

    commands.add_parser("down", help="stop whatever a run or the UI left running")
    commands.add_parser("clean", help="the same, and remove var/ and this checkout's keys")

    report = commands.add_parser("report", help="the funnel of each campaign's latest run")
    report.add_argument("--json", action="store_true", help="an array with one object per campaign")
    report.add_argument("--as-of", type=_day, help="a day's runs instead of the latest")

    sample = commands.add_parser("sample", help="write a sample warehouse in Synthea's CSV layout")
    sample.add_argument("directory", type=Path)
    sample.add_argument("--patients", type=_positive, default=5000)
    sample.add_argument("--seed", type=int, default=7)
    sample.add_argument("--as-of", type=_day, default=date(2026, 1, 1), help="(2026-01-01)")

    opt_out = commands.add_parser("opt_out", aliases=["opt-out"], help="record a patient's opt-out")
    opt_out.set_defaults(command="opt_out")
    opt_out.add_argument("--patient", required=True, help="the patient's key in the warehouse")
    opt_out.add_argument("--campaign", help="only this campaign; without it, all")
    opt_out.add_argument("--channel", default="desk", choices=["desk", "phone", "mailto", "letter"])

    commands.add_parser("check", help="check every campaign, vendor, template and suite file")

    commands.add_parser("migrate", help="bring the store to this version's schema")

    warehouse = commands.add_parser("warehouse", help="what a source's views get wrong")
    warehouse.add_argument("action", choices=["check"], help="compare the views with the contract")

    generate = commands.add_parser("generate", help="write the files that are made from code")
    generate.add_argument("--check", action="store_true", help="only say which are out of date")
    return parser


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="a Synthea CSV export; without it, the sample")
    parser.add_argument("--as-of", type=_day, help="play this day (today)")
    parser.add_argument("--dry", action="store_true", help="everything but the SMTP conversation")


def _day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError("write a day as YYYY-MM-DD") from None


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError("expected a number of 1 or more")
    return int(value)
