"""The patient portal at the command line: serve it, tend to what it leaves, reopen a letter.

Without settings in the environment it is served from this checkout's embedded default, over TLS on
this machine only, tended to once a minute.
"""

from __future__ import annotations

import os
import sys
import threading
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

from rich.console import Console
from rich.table import Table
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import store as stores
from reengage import suppressions
from reengage.cli import places
from reengage.cli.actor import actor, note_access, record_access
from reengage.embedded import postgres
from reengage.embedded.certificates import ensure_certificates
from reengage.embedded.layout import Layout
from reengage.errors import ConfigurationError, KeyringError, ReengageError
from reengage.keys import Keyring, ensure_keyring, open_keyring
from reengage.ledger.owed import pay
from reengage.pipeline import decisions
from reengage.portal import keeper
from reengage.settings import PortalSettings, Settings, journal_path, read_settings
from reengage.settings import read_portal_settings as portal_settings

ROLE = "patient_portal"
"""The embedded default's log-in for the portal: a member of reengage_portal."""
TEND_SECONDS = 60


def serve(options: Namespace, home: Path) -> int:
    """Serve until Ctrl-C."""
    from reengage.portal import server

    console = Console()
    if os.environ.get("REENGAGE_STORE_URL"):
        address = server.Address(
            options.host,
            options.port,
            options.certificate,
            options.key,
            tuple(options.behind_proxy),
        )
        server.serve(portal_settings(), address)
        return 0
    layout = Layout(home)
    with postgres.running(layout.postgres) as running:
        keyring = ensure_keyring(layout.keyring)
        engine = stores.connect(running.url("store"))
        stores.migrate(engine, home)
        postgres.ensure_member(running, ROLE, "reengage_portal")
        with engine.begin() as connection:
            stores.require_keyring(connection, keyring)
        files = ensure_certificates(layout.certificates)
        threading.Thread(
            target=_tend_for_ever, args=(_embedded(home, running),), daemon=True
        ).start()
        settings = PortalSettings(
            home, running.url("store", ROLE), layout.keyring, journal_path(layout.keyring)
        )
        certificate, key = options.certificate or files.cert, options.key or files.key
        console.print(f"the portal is at https://{options.host}:{options.port}/, Ctrl-C stops it")
        console.print(f"  its certificate is of {files.ca}; letters lead to the address in"
                      " practice.yaml", soft_wrap=True)  # fmt: skip
        proxies = tuple(options.behind_proxy)
        address = server.Address(options.host, options.port, certificate, key, proxies)
        server.serve(settings, address)
    return 0


def tend(options: Namespace, home: Path) -> int:
    """Open incidents, send messages, remove what is over; once, or every so many seconds."""
    settings = _own_settings(home)
    while True:
        with places.store(home):
            done = keeper.tend(settings)
        Console().print(
            f"{done.incidents} new incidents, {done.sent} messages sent, {done.waiting} wait,"
            f" {done.lost} will reach nobody; {done.expired} letters' time is over"
        )
        if not options.every:
            return 0
        sleep(options.every)


def incidents(options: Namespace, home: Path) -> int:
    """Letters that were locked or reported, and whose they are."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine:
        with engine.connect() as connection:
            found = connection.execute(
                text(
                    "SELECT i.incident_id, i.kind, i.opened_at, i.patient, l.run_id,"
                    " l.campaign_date, d.sealed, coalesce(m.sealed <> '' AND m.expires_at > :now,"
                    " false) AS opens"
                    " FROM portal_incident i JOIN letter l USING (letter_id)"
                    " LEFT JOIN decision d ON d.run_id = l.run_id AND d.patient = i.patient"
                    " AND d.campaign_date = l.campaign_date"
                    " LEFT JOIN portal_message m ON m.letter_id = l.letter_id"
                    " WHERE i.closed_at IS NULL ORDER BY i.opened_at"
                ),
                {"now": _now()},
            ).all()
        if found:  # who looked is on record before it is shown
            said = {"incidents": [str(row.incident_id) for row in found]}
            record_access(engine, keyring, "opened", "incidents", said)
    table = Table("incident", "what", "since", "the letter", "patient's key in the warehouse")
    for row in found:
        table.add_row(
            str(row.incident_id), row.kind, _minute(row.opened_at),
            "waits" if row.opens else "its time is over", _whose(keyring, row),
        )  # fmt: skip
    Console().print(table if found else "no letter is locked or reported")
    return 0


def reopen(options: Namespace, home: Path) -> int:
    """Let a locked letter be opened again; 1 when it is not locked."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        stores.require_keyring(connection, keyring)
        found = keeper.reopen(
            connection,
            home,
            options.message,
            actor(),
            journal=places.suppressions(home),
            at=_now(),
        )
        if found is not None:
            lifted = [str(one) for one in found.lifted]
            said = {"letter": str(found.letter_id), "opens": found.opens, "lifted": lifted}
            note_access(connection, keyring, "approved", "reopening", said)
            recorded = {suppressions.lifting(one) for one in found.lifted}
            pay(connection, keyring, recorded=recorded)
    if found is None:
        print(
            "no letter of this id is locked; give an incident's id, as `portal incidents` has it",
            file=sys.stderr,
        )
        return 1
    Console().print(
        "the letter can be opened again; five answers are looked at"
        if found.opens
        else "its incident is closed, but the letter's time is over and nothing opens it any more:"
        " tell the patient what it said, or write to them anew",
        soft_wrap=True,
    )
    return 0


def _whose(keyring: Keyring, row: Row[tuple[object, ...]]) -> str:
    try:
        key = keyring.month_key(row.campaign_date)
        if row.sealed is not None:
            opened = decisions.opened(key, row.run_id, row.patient, bytes(row.sealed))
            return str(opened["patient_key"])
    except KeyringError:
        pass
    return "not known any more"


def _now() -> datetime:
    external = os.environ.get("REENGAGE_STORE_URL")
    return portal_settings().now() if external else datetime.now(UTC)


def _minute(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _own_settings(home: Path) -> Settings:
    if os.environ.get("REENGAGE_STORE_URL"):
        return read_settings()
    with postgres.running(Layout(home).postgres) as running:
        return _embedded(home, running)


def _embedded(home: Path, running: postgres.Postgres) -> Settings:
    """The embedded default has no relay while no campaign runs: messages wait."""
    return Settings(
        home=home,
        warehouse_url=running.url("warehouse"),
        store_url=running.url("store"),
        keyring=Layout(home).keyring,
        relays={},
    )


def _tend_for_ever(settings: Settings) -> None:
    while True:
        try:
            keeper.tend(settings)
        except ConfigurationError as error:
            print(error, file=sys.stderr)
        except (ReengageError, SQLAlchemyError) as error:
            print(f"the portal was not tended to ({type(error).__name__})", file=sys.stderr)
        sleep(TEND_SECONDS)
