"""The ledger at the command line: verify it, sign it, prove from it, take it out, follow it.

Whatever leaves the ledger is on record in it before it is shown (SEC-15). Exit status 1 = something
is wrong with the ledger, the proof or the export, named on standard error.
"""

from __future__ import annotations

import json
import re
import sys
import time
from argparse import Namespace
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection

from reengage import settings, store
from reengage.cli import places
from reengage.cli.actor import actor, note_access, record_access
from reengage.cli.grounds import ground_of
from reengage.errors import ConfigurationError
from reengage.keys import Keyring, open_keyring
from reengage.ledger import archive as archives
from reengage.ledger import mirror as mirrors
from reengage.ledger import signers, witness
from reengage.ledger.archive import Archive
from reengage.ledger.checkpoint import VerifierKey
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.ledger.proof import check_proof as checked
from reengage.ledger.proof import prove as proven
from reengage.ledger.tail import Told
from reengage.ledger.tail import tail as newest_entries
from reengage.ledger.verify import Verdict, verify_blocks
from reengage.ledger.verify import verify as verify_store
from reengage.pipeline.restored import accept, accept_complete

_FOLLOW_SECONDS = 2.0


def verify(options: Namespace, home: Path) -> int:
    """Everything again from bytes, of the store or of an export; 1 when anything is wrong."""
    verdict = _verify_export(options, home) if options.export else _verify_store(options, home)
    if options.json:
        print(json.dumps(_as_json(verdict), indent=2))
        return int(not verdict.sound)
    for finding in verdict.findings:
        print(finding, file=sys.stderr)
    if verdict.faults > len(verdict.findings):
        print(f"and {verdict.faults - len(verdict.findings):,} more", file=sys.stderr)
    _render(verdict)
    return int(not verdict.sound)


def checkpoint(options: Namespace, home: Path) -> int:
    """Sign the ledger as it stands."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
    with places.store(home) as engine, engine.begin() as connection:
        signed = sign_checkpoint(connection, keyring, _checkpoints(options, home))
    if signed:
        Console().print(f"signed over {signed.size:,} entries, root {_base64(signed.root)}")
    else:
        Console().print("nothing came since the newest checkpoint")
    return 0


def restored(options: Namespace, home: Path) -> int:
    """The store came back from a backup, or a standby took over, and somebody knows: campaigns go
    on, and nothing of what may have been sent since is sent again.
    """
    ground = ground_of(options.because)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        detail: dict[str, object] = {"ground": ground}
        if options.nothing_lost:
            accept_complete(connection, keyring, _checkpoints(options, home))
            detail["nothing_lost"] = True
        else:
            short_of = accept(connection, keyring, _checkpoints(options, home), actor())
            detail["checkpoint"] = short_of.size if short_of else None
        note_access(connection, keyring, "approved", "ledger/restored", detail)
    if options.nothing_lost:
        Console().print("on record with your name; campaigns go on where they were")
        return 0
    Console().print(
        "on record with your name; the next run of each campaign sends nothing: who might have been"
        " written to in the lost time has an `unknown` letter then"
    )
    return 0


def prove(options: Namespace, home: Path) -> int:
    """A file that proves one entry to somebody who has no database."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine:
        with engine.connect() as connection:
            document = proven(
                connection, _checkpoints(options, home), _keys(options, home), options.index
            )
        record_access(engine, keyring, "exported", "proof", {"index": options.index})
    written = json.dumps(document, indent=2) + "\n"
    if options.output is None:
        print(written, end="")
    else:
        options.output.write_text(written, encoding="utf-8")
        Console().print(f"written to {options.output}", soft_wrap=True)
    return 0


def check_proof(options: Namespace, home: Path) -> int:
    """Check a proof, with no database; the keys come from elsewhere than from the proof."""
    keys = _keys(options, home)
    if not keys:
        raise ConfigurationError(
            "there is no verifier key to trust; give --keys a file of them, got from the practice"
            " by another way than the proof"
        )
    try:
        document = json.loads(options.file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{options.file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{options.file} is no proof: it is not JSON") from None
    found = checked(document, keys)
    print(
        f"entry {found.entry.index} of {found.checkpoint.origin} is proven by the checkpoint of"
        f" {found.checkpoint.size:,} entries; it says:"
    )
    shown = {"kind": found.entry.kind, "recorded_at": found.entry.recorded_at}
    print(json.dumps({**shown, "body": found.entry.body}, indent=2))
    return 0


def export(options: Namespace, home: Path) -> int:
    """Bring an export up to the ledger, and say what is new in it."""
    keyring = open_keyring(places.keyring(home))
    archive = Archive(options.location)
    checkpoints = _checkpoints(options, home)
    with places.store(home) as engine:
        record_access(
            engine, keyring, "exported", "ledger", {"location": without_secrets(options.location)}
        )
        with engine.connect() as connection:
            newest = witness.newest(connection, checkpoints, signers.verifiers(keyring.directory))
            done = archives.export(
                connection,
                archive,
                checkpoints=checkpoints,
                keys=keyring.directory / "ledger",
                covered=newest.size if newest else 0,
                told=print,
            )
    waiting = done.size - done.entries
    Console().print(
        f"{len(done.written)} new files; {done.entries:,} of {done.size:,} entries are exported"
        + (f", the last {waiting:,} wait for the next checkpoint" if waiting else ""),
        soft_wrap=True,
    )
    return 0


def tail(options: Namespace, home: Path) -> int:
    """The newest entries; with --follow also those to come."""
    with places.store(home) as engine:
        with engine.connect() as connection:
            shown = newest_entries(connection, options.lines, kind=options.kind)
        _show(shown, options)
        backend = _backend()
        if backend and not options.json:
            with engine.connect() as connection:
                print(_lag(connection, backend))
        while options.follow:
            time.sleep(_FOLLOW_SECONDS)
            after = shown[-1].index if shown else -1
            with engine.connect() as connection:
                fresh = newest_entries(connection, 10_000, kind=options.kind, after=after)
            _show(fresh, options)
            shown = fresh or shown
    return 0


def mirror(options: Namespace, home: Path) -> int:
    """Tell the lineage backend what it was not told yet."""
    backend = _backend()
    if backend is None:
        Console().print("there is no mirror; REENGAGE_MIRROR_URL would name one")
        return 0
    with places.store(home) as engine:
        if options.follow:
            mirrors.follow(engine, backend)
        elif not options.status:
            print(f"told {mirrors.replay(engine, backend):,} run events")
        with engine.connect() as connection:
            print(_lag(connection, backend))
    return 0


def without_secrets(location: str) -> str:
    """A location as records may name it: without user, password and query."""
    return re.sub(r"://[^/@]*@", "://", location).partition("?")[0]


def _verify_store(options: Namespace, home: Path) -> Verdict:
    with places.store(home) as engine, engine.connect() as connection, _progress() as told:
        return verify_store(
            connection,
            keys=_keys(options, home),
            checkpoints=_checkpoints(options, home),
            keyring=_keyring_if_there(options, home),
            progress=told,
        )


def _verify_export(options: Namespace, home: Path) -> Verdict:
    archive = Archive(options.export)
    with _progress() as told:
        return verify_blocks(
            archives.blocks_of(archive),
            keys=_keys(options, home),
            checkpoints=(
                Checkpoints(options.checkpoints) if options.checkpoints else archive.checkpoints
            ),
            total=archives.size_of(archive),
            progress=told,
        )


def _keyring_if_there(options: Namespace, home: Path) -> Keyring | None:
    """Somebody from outside verifies with keys alone; at home, the keyring has to be there."""
    if options.keys and not places.keyring(home).is_dir():
        return None
    return open_keyring(places.keyring(home))


def _keys(options: Namespace, home: Path) -> list[VerifierKey]:
    """The verifier keys to trust: of --keys, one a line, else all that ever signed here."""
    file: Path | None = getattr(options, "keys", None)
    if file is None:
        return signers.verifiers(places.keyring(home))
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{file} cannot be read as a file of verifier keys") from None
    return [VerifierKey.parse(line) for line in lines]


def _checkpoints(options: Namespace, home: Path) -> Checkpoints:
    given: str | None = getattr(options, "checkpoints", None)
    return Checkpoints(given or settings.checkpoints_location(places.keyring(home)))


def _backend() -> mirrors.Backend | None:
    url = settings.mirror_url()
    return mirrors.Backend(url, settings.mirror_token()) if url else None


def _lag(connection: Connection, backend: mirrors.Backend) -> str:
    lag = mirrors.lag(connection, backend)
    if lag.told_at is None:
        return f"mirror: told nothing yet, {lag.waiting:,} run events wait"
    behind = f"{lag.waiting:,} run events wait, from entry {lag.next} on"
    ago = (datetime.now(UTC) - lag.told_at).total_seconds()
    return f"mirror: {behind if lag.waiting else 'up to date'}; last told {ago:,.0f} s ago"


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on the terminal while entries are verified; elsewhere nothing."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("verify", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _render(verdict: Verdict) -> None:
    faults = "1 fault" if verdict.faults == 1 else f"{verdict.faults:,} faults"
    sound = "sound" if verdict.sound else f"NOT sound, {faults}"
    print(f"the ledger is {sound}: {verdict.size:,} entries, root {_base64(verdict.root)}")
    print(f"checkpoints that agree: {verdict.checkpoints:,}")
    if verdict.clock_back:
        print(f"the clock ran backwards {verdict.clock_back:,} times, and the entries say so")
    if verdict.open_runs:
        print(f"runs without an end: {len(verdict.open_runs):,}")
        for run_id in verdict.open_runs[:10]:
            print(f"  {run_id}")


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "sound": verdict.sound,
        "entries": verdict.size,
        "root": _base64(verdict.root),
        "checkpoints": verdict.checkpoints,
        "open_runs": list(verdict.open_runs),
        "clock_back": verdict.clock_back,
        "faults": verdict.faults,
        "findings": [
            {"entry": one.entry, "checkpoint": one.checkpoint, "says": str(one)}
            for one in verdict.findings
        ],
    }


def _show(entries: list[Told], options: Namespace) -> None:
    for one in entries:
        if options.json:
            print(one.content.decode("utf-8", "replace"))
        else:
            print(f"{one.index:>8}  {one.recorded_at[:19]:19}  {one.kind:13}  {one.line}")
    sys.stdout.flush()


def _base64(root: bytes) -> str:
    return b64encode(root).decode()
