"""Walk: every entry once, in order, from bytes (docs/ledger-format.md, section 8, points 1 to 3).

A block that is beyond doubt is taken as a whole; any other one row by row, so that a fault is named
by its entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reengage.errors import LedgerError
from reengage.ledger.entry import Entry, is_instant, parse
from reengage.ledger.merkle import Frontier, leaf_hash, leaf_hashes
from reengage.ledger.quick import quick
from reengage.ledger.reading import Block
from reengage.ledger.runs import Runs
from reengage.ledger.shape import Shapes

MOST_FINDINGS = 100


@dataclass(frozen=True)
class Finding:
    """What is wrong, where, and what to do; never a value of an entry."""

    words: str
    entry: int | None = None
    """Its index."""
    checkpoint: int | None = None
    """Its size."""

    def __str__(self) -> str:
        if self.entry is not None:
            return f"entry {self.entry} {self.words}"
        if self.checkpoint is not None:
            return f"checkpoint {self.checkpoint} {self.words}"
        return self.words


class Findings:
    """All of them are counted, the first hundred kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(self, words: str, *, entry: int | None = None, checkpoint: int | None = None) -> None:
        """One more."""
        self.count += 1
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(Finding(words, entry, checkpoint))


class Walk:
    """What the entries so far come to."""

    def __init__(self, wanted: Iterable[int], findings: Findings) -> None:
        """`wanted` are the sizes at which the root is to be remembered."""
        self.frontier = Frontier()
        self.roots: dict[int, bytes] = {}
        self.runs = Runs()
        self.notes: list[tuple[int, str, str]] = []
        """Of each checkpoint record: its index, and the origin and note that it holds."""
        self.recorded_at = ""
        """Of the entry before; nothing before the first."""
        self.clock_back = 0
        self._findings = findings
        self._next = 0
        self._shapes = Shapes()
        self._wanted = sorted(set(wanted), reverse=True)
        self._remember()

    def block(self, block: Block) -> None:
        """Take the next rows."""
        found = quick(block, self._shapes)
        if found is None or not self._holds(block, found.times):
            self._rows(block)
            return
        self._next += len(found.times)
        self.recorded_at = found.times[-1]
        self._grow(block.leaves)  # type: ignore[arg-type]
        for index, kind, body in found.followed:
            self._follow(index, kind, body)

    def _holds(self, block: Block, times: Sequence[str]) -> bool:
        """Whether the rows are the next ones, have their hashes, and the clock went on."""
        return (
            block.indices == list(range(self._next, self._next + len(times)))
            and leaf_hashes(block.entries) == block.leaves  # type: ignore[arg-type]
            and times[0] >= self.recorded_at
            and times == sorted(times)
            and all(map(is_instant, set(times)))
        )

    def _rows(self, block: Block) -> None:
        leaves = []
        for index, kind, subject, leaf, content in block.rows():
            place = self._place(index)
            if content is None:
                self._findings.add(
                    "has no bytes any more; restore them from an export", entry=place
                )
                continue
            leaves.append(leaf_hash(content))
            if leaf != leaves[-1]:
                self._findings.add(
                    "is not what was hashed: its bytes or its hash were changed; compare it with an"
                    " export",
                    entry=place,
                )
            self._entry(place, index, kind, subject, content)
        self._grow(leaves)

    def _place(self, index: int | None) -> int:
        """The index under which the row is reported; what is missing before it, is reported."""
        if index is None or index < self._next:
            self._findings.add(
                "is there twice or has no place; the table was rebuilt without its key: restore"
                " it from an export",
                entry=self._next if index is None else index,
            )
            return self._next if index is None else index
        if index > self._next:
            more = index - 1 - self._next
            self._findings.add(
                f"{f'and the {more} after it are' if more else 'is'} missing; restore what was"
                " removed from an export",
                entry=self._next,
            )
        self._next = index + 1
        return index

    def _entry(self, place: int, index: Any, kind: Any, subject: Any, content: bytes) -> None:
        try:
            entry = parse(content)
        except LedgerError as error:
            self._findings.add(f"is no entry: {error}; compare it with an export", entry=place)
            return
        for name, column, said in (
            ("index", index, entry.index),
            ("kind", kind, entry.kind),
            ("subject", subject, entry.subject),
        ):
            if column != said:
                self._findings.add(
                    f"has another {name} in the table than in its bytes; the table was changed",
                    entry=place,
                )
        self._clock(place, entry)
        self._follow(place, entry.kind, entry.body)

    def _clock(self, place: int, entry: Entry) -> None:
        if entry.back != (entry.recorded_at < self.recorded_at):
            said = "says" if entry.back else "does not say"
            self._findings.add(
                f"{said} that the clock ran backwards, and by the entry before it"
                f" {'did not' if entry.back else 'did'}; one of the two was changed",
                entry=place,
            )
        self.clock_back += entry.back
        self.recorded_at = entry.recorded_at

    def _follow(self, place: int, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "run_event":
            words = self.runs.event(body["run"]["runId"], body.get("eventType"))
            if words:
                self._findings.add(f"{words}; find out which task wrote it", entry=place)
        elif kind == "checkpoint":
            self.notes.append((place, body["origin"], str(body.get("note"))))

    def _grow(self, leaves: list[bytes]) -> None:
        """Add leaf hashes, and remember the root wherever it is wanted."""
        begin = 0
        while begin < len(leaves):
            end = len(leaves)
            if self._wanted:
                end = min(end, begin + self._wanted[-1] - self.frontier.size)
            self.frontier = self.frontier.extended(leaves[begin:end])
            self._remember()
            begin = end

    def _remember(self) -> None:
        while self._wanted and self._wanted[-1] <= self.frontier.size:
            size = self._wanted.pop()
            if size == self.frontier.size:
                self.roots[size] = self.frontier.root
