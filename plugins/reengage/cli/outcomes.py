"""Who came back, at the command line: ask and report by hand, print a report, end an experiment.

Who looked, asked or decided is in the ledger before anything is shown or done (SEC-15).
"""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from sqlalchemy import Engine

from reengage import outcome_report, store
from reengage.campaigns import load_campaign, load_campaigns
from reengage.cli import places
from reengage.cli.actor import actor, record_access
from reengage.cli.grounds import ground_of
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring


def outcomes(options: Namespace, home: Path) -> int:
    """Ask the warehouse who came back, and make the report; for every campaign."""
    from reengage.outcomes.observe import observe
    from reengage.outcomes.publish import publish
    from reengage.settings import Settings

    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, places.warehouse(home) as source:
        settings = Settings(
            home=home, warehouse_url=_url(source), store_url=_url(engine),
            keyring=keyring.directory, relays={},
        )  # fmt: skip
        said = {"as_of": options.as_of.isoformat() if options.as_of else "yesterday"}
        record_access(engine, keyring, "recorded", "outcomes", said)
        for campaign in load_campaigns(home)[0]:
            today = settings.now().astimezone(ZoneInfo(campaign.time_zone)).date()
            day: date = options.as_of or today - timedelta(days=1)
            if day >= today:
                raise ConfigurationError(
                    f"the outcomes of {day} are not known yet (today is {today}); name a day that"
                    " is over"
                )
            seen = observe(settings, keyring, campaign, day)
            told = publish(settings, campaign, day)
            asked = f"{seen.asked:,} followed, {seen.changed:,} new" if seen else "known before"
            print(f"{campaign.slug} as of {day}: {asked}; {told.told} of {told.lines} lines told")
    return 0


def report(options: Namespace, home: Path) -> int:
    """Print who came back of a campaign's patients, as tables or as JSON."""
    load_campaign(home, options.campaign)
    with places.store(home) as engine:
        with engine.connect() as connection:
            found = outcome_report.read_report(connection, options.campaign, options.as_of)
        if found:
            days = {"campaign": options.campaign, "as_of": found[0].as_of.isoformat()}
            record_access(
                engine, open_keyring(places.keyring(home)), "opened", "report/outcomes", days
            )
    if options.json:
        print(json.dumps([one.as_json() for one in found], indent=2, default=str))
    elif not found:
        print(
            f"No report of {options.campaign} yet: DAG reengage_outcomes makes one a day,"
            " `python -m reengage outcomes` does so now."
        )
    else:
        for one in found:
            outcome_report.render(one, Console())
    return 0


def show(options: Namespace, home: Path) -> int:
    """Print what the comparison of a campaign's variants says; 1 where there is none."""
    load_campaign(home, options.campaign)
    with places.store(home) as engine:
        with engine.connect() as connection:
            found = outcome_report.read_experiment(connection, options.campaign)
        if found is None:
            print(f"{options.campaign} has no reading of an experiment yet")
            return 1
        said = {"campaign": options.campaign, "experiment": found.name}
        keyring = open_keyring(places.keyring(home))
        record_access(engine, keyring, "opened", "report/experiment", said)
    outcome_report.render_experiment(found, Console())
    return 0


def stop(options: Namespace, home: Path) -> int:
    """End the comparison of a campaign's variants and keep one, on record."""
    from reengage.outcomes import experiments

    campaign = load_campaign(home, options.campaign)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        experiments.stop(
            connection, keyring, campaign,
            keep=options.keep, by=actor(), because=ground_of(options.because),
        )  # fmt: skip
    print(f"from the next run on everybody gets {options.keep}, on record with your name")
    return 0


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)
