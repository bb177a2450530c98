"""Letters that may have been delivered: list them, look for evidence, say what became of them.

Evidence first, then a person: nothing here sends a letter again. Whoever resolves one is in the
ledger before it counts (SEC-15). Neither an address nor a relay's text is shown or kept.
"""

from __future__ import annotations

import json
from argparse import Namespace
from itertools import chain
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from reengage import store
from reengage.cli import places
from reengage.cli.actor import note_access, record_access
from reengage.cli.grounds import ground_of
from reengage.keys import Keyring, open_keyring
from reengage.pipeline import unknown
from reengage.pipeline.traces import traces_in
from reengage.return_path import envid_of


def list_(options: Namespace, home: Path) -> int:
    """Every letter of which nobody knows; who looked is on record."""
    with places.store(home) as engine:
        with engine.connect() as connection:
            found = unknown.list_unknown(connection)
        keyring = open_keyring(places.keyring(home))
        if found:
            record_access(engine, keyring, "opened", "unknown", {"letters": len(found)})
    if options.json:
        print(json.dumps([_as_json(keyring, one) for one in found], indent=2))
    elif not found:
        Console().print("no letter is unknown")
    else:
        _show(found)
    return 0


def resolve(options: Namespace, home: Path) -> int:
    """A person says what became of a letter, and why they know."""
    ground = ground_of(options.because)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        _resolve(connection, keyring, options.letter, options.verdict, f"person: {ground}")
    Console().print(f"letter {options.letter} is {options.verdict}, on record with your name")
    return 0


def evidence(options: Namespace, home: Path) -> int:
    """What files say of unknown letters; `--resolve` takes it for the decision of who asks."""
    keyring = open_keyring(places.keyring(home))
    traces = chain.from_iterable(traces_in(path) for path in options.paths)
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        letters = unknown.list_unknown(connection)
        found = unknown.match(keyring, letters, traces)
        said = {"letters": len(letters), "found": len(found)}
        note_access(connection, keyring, "opened", "unknown/evidence", said)
        for one in found if options.resolve else ():
            _resolve(connection, keyring, one.letter.letter_id, one.says, one.ground)
    for one in found:
        done = "resolved as" if options.resolve else "points to"
        print(f"{one.letter.letter_id} {done} {one.says} ({one.ground})")
    print(f"{len(letters) - len(found)} of {len(letters)} unknown letters left no trace there")
    return 0


def _resolve(
    connection: Connection, keyring: Keyring, letter: UUID, verdict: unknown.Verdict, ground: str
) -> None:
    unknown.resolve(connection, keyring, letter, verdict, ground)
    detail = {"letter": str(letter), "as": verdict, "ground": ground}
    note_access(connection, keyring, "resolved", f"unknown/{letter}", detail)


def _as_json(keyring: Keyring, one: unknown.Unknown) -> dict[str, object]:
    return {
        "letter": str(one.letter_id),
        "envid": envid_of(keyring, one.letter_id),
        "message_id": one.message_id,
        "campaign": one.campaign,
        "campaign_date": one.campaign_date.isoformat(),
        "reason": one.reason,
        "since": one.since.isoformat(),
        "days": one.days,
    }


def _show(found: list[unknown.Unknown]) -> None:
    table = Table("letter", "campaign", "day", "days", "Message-ID", box=None, pad_edge=False)
    for one in found:
        day = one.campaign_date.isoformat()
        table.add_row(str(one.letter_id), one.campaign, day, str(one.days), one.message_id)
    # As wide as it must be: an id that is broken in two cannot be searched for.
    console = Console()
    console.print(table, soft_wrap=True) if console.is_terminal else Console(width=200).print(table)
