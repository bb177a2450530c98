"""The ledger at a million entries: appending, verifying, proving, all on the same ones.

Nine entries of ten are disclosures with transport evidence, as a campaign leaves them; the rest are
intents, run events with their facets, and access records. Half of the ledger is written by one
process, the other half by four, in transactions of 1,000 entries, the making of the records
included. Verification is one process; what counts is its processor time per entry beside that of
SHA-256 alone over the same bytes, since the server reads ahead on another core; the clock's time is
told, too. ENTRIES=100000 measures with so many.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any
from uuid import UUID

from entries import AGREEMENT, disclosure, event
from harness import Figure, at_least, at_most, publish
from reengage import store
from reengage.embedded import postgres
from reengage.keys import Keyring, ensure_keyring, open_keyring
from reengage.ledger import records
from reengage.ledger.append import append
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.ledger.proof import check_proof, prove
from reengage.ledger.reading import blocks
from reengage.ledger.records import Record
from reengage.ledger.signers import verifiers
from reengage.ledger.verify import verify
from reengage.settings import HOME

ENTRIES = int(os.environ.get("ENTRIES", "1000000"))
BATCH = 1000
LETTERS = 92
"""Of a hundred entries; the others are about them."""
WRITERS = 4
CAMPAIGN = "appointment_reminder"
MOST_TIMES_SHA256 = 4
LEAST_APPENDS = 10_000


@dataclass(frozen=True)
class Place:
    """A store and its keyring."""

    url: str
    keyring: Keyring

    @property
    def checkpoints(self) -> Checkpoints:
        """Where its checkpoints lie."""
        return Checkpoints(str(self.keyring.directory / "checkpoints"))


def main() -> int:
    """Measure and publish."""
    with TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        with postgres.running(base / "pg") as running:
            place = Place(running.url("store"), ensure_keyring(base / "keys"))
            store.migrate(store.connect(place.url), HOME)
            figures = [*_appending(place), *_verifying(place), *_proving(place)]
    note = (
        f"{ENTRIES:,} entries, half by one writer, half by {WRITERS}, {BATCH:,} a transaction,"
        " once.\nbaseline: SHA-256 of each entry's bytes and nothing else, in processor time.\n"
        "PostgreSQL as the embedded default sets it"
    )
    return publish("ledger", note, figures)


def _appending(place: Place) -> list[Figure]:
    half = ENTRIES // 2
    figures = []
    for writers in (1, WRITERS):
        shares = [half // writers // BATCH for _ in range(writers)]
        seconds = _timed(lambda shares=shares, writers=writers: _write(place, shares, writers))
        each = sum(shares) * BATCH / seconds
        name = f"appends by {writers} writer{'s' if writers > 1 else ''}"
        figures.append(at_least(name, each, "entries/s", target=LEAST_APPENDS))
    return figures


def _write(place: Place, shares: list[int], seed: int) -> None:
    """Each writer a process of its own, with so many transactions."""
    fork = multiprocessing.get_context("fork")
    at_work = [
        fork.Process(
            target=_writer, args=(place.url, place.keyring.directory, share, f"{seed}.{n}")
        )
        for n, share in enumerate(shares)
    ]
    for one in at_work:
        one.start()
    for one in at_work:
        one.join()
    if any(one.exitcode for one in at_work):
        sys.exit("a writer failed")


def _writer(url: str, keyring_directory: Path, batches: int, seed: str) -> None:
    engine, keyring = store.connect(url), open_keyring(keyring_directory)
    random = Random(seed)
    with engine.connect() as connection:
        for _ in range(batches):
            some = [record for _ in range(BATCH // 100) for record in _hundred(random)]
            append(connection, keyring, some)
            connection.commit()
    engine.dispose()


def _verifying(place: Place) -> list[Figure]:
    with store.connect(place.url).begin() as connection:
        sign_checkpoint(connection, place.keyring, place.checkpoints)
    with store.connect(place.url).connect() as connection:
        bare, read = _bare(connection)
        begun, used = perf_counter(), process_time()
        verdict = verify(
            connection,
            keys=verifiers(place.keyring.directory),
            checkpoints=place.checkpoints,
            keyring=place.keyring,
        )
        seconds, used = perf_counter() - begun, process_time() - used
    if not verdict.sound or verdict.checkpoints != 1:
        sys.exit("; ".join(map(str, verdict.findings)) or "the checkpoint is missing")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    million = verdict.size / 1_000_000
    return [
        at_most("verification, times SHA-256, per core", used / bare, "times",
                baseline=None, target=MOST_TIMES_SHA256),
        at_most("verification, processor, per million", used / million, "s",
                baseline=bare / million, target=None),
        at_most("verification, clock, per million", seconds / million, "s",
                baseline=bare / million, target=None),
        at_least("verification per core", verdict.size / used, "entries/s", target=None),
        at_most("octets of an entry", read / verdict.size, "B", baseline=None, target=None),
        at_most("memory of the process that verified", megabytes, "MB",
                baseline=None, target=None),
    ]  # fmt: skip


def _bare(connection: Any) -> tuple[float, int]:
    """Seconds of SHA-256 over every entry, and their octets."""
    seconds, read = 0.0, 0
    for block in blocks(connection):
        entries: Any = block.entries
        used = process_time()
        for entry in entries:
            sha256(entry).digest()
        seconds += process_time() - used
        read += sum(map(len, entries))
    return seconds, read


def _proving(place: Place) -> list[Figure]:
    keys = verifiers(place.keyring.directory)
    made: dict[str, Any] = {}

    def make() -> None:
        with store.connect(place.url).connect() as connection:
            made.update(prove(connection, place.checkpoints, keys, ENTRIES // 3))

    seconds = _timed(make)
    checking = _timed(lambda: [check_proof(made, keys) for _ in range(100)]) / 100
    return [
        at_most("making a proof", seconds, "s", baseline=None, target=None),
        at_most("checking a proof", checking * 1000, "ms", baseline=None, target=None),
        at_most("a proof's hashes", len(made["proof"]), "", baseline=None, target=None),
        at_most("a proof's file", len(json.dumps(made)) / 1024, "KiB", baseline=None, target=None),
    ]


def _hundred(random: Random) -> Iterator[Record]:
    """What a hundred entries of a campaign's day are: a chunk's task, its letters, a reader."""
    run = _uuid(random)
    letters = [_uuid(random) for _ in range(LETTERS)]
    yield event(run, "START", f"{CAMPAIGN}.send")
    for first in range(0, LETTERS, LETTERS // 4):
        yield records.intent(
            run=run, campaign=CAMPAIGN, **AGREEMENT,
            letters=letters[first : first + LETTERS // 4],
        )  # fmt: skip
    for letter in letters:
        yield _disclosure(random, run, letter)
    yield event(run, "COMPLETE", f"{CAMPAIGN}.send")
    for of in ("report", "trail"):
        yield records.access(actor="a.miller", action="opened", of=of, detail={"day": 154})


def _disclosure(random: Random, run: UUID, letter: UUID) -> Record:
    return disclosure(
        run, letter, campaign=CAMPAIGN, day=date(2026, 6, 1), queue=_hex(random, 5),
        patient=_hex(random, 16), recipient=_hex(random, 16), authorization=_hex(random, 16),
    )  # fmt: skip


def _uuid(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128))


def _hex(random: Random, octets: int) -> str:
    return random.randbytes(octets).hex()


def _timed(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
