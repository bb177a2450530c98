"""Shape: what two disclosures have in common to the byte, so that the second need not be decoded.

A campaign's letters leave entries that differ in a few strings of the same length. Once one of them
was found canonical, another of its length is canonical if it differs nowhere but within those
strings, by plain characters that JSON writes as they are, and in its index: there is one way to
write everything else, and it is written that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct

MOST = 256
"""Shapes that are remembered; beyond them, one begins anew."""

_VARYING = tuple(
    f'"{name}":"'.encode()
    for name in (
        "authorization", "letter", "message_id", "patient", "recipient", "run", "queue_id",
        "recorded_at",
    )
)  # fmt: skip
_PATIENT, _RECORDED_AT, _INDEX = b'"patient":"', b'"recorded_at":"', b'"index":'
_PLAIN = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')


@dataclass(frozen=True)
class Alike:
    """Entries of a known shape: their places, and what they say there, in the same order."""

    places: list[int]
    indices: list[bytes]
    times: list[bytes]
    patients: list[bytes]


@dataclass(frozen=True)
class _Shape:
    """Parts of an entry by turns: the same in all, varying, the same in all, ..."""

    parts: Callable[[bytes], tuple[bytes, ...]]
    fixed: tuple[bytes, ...]
    patient: int
    """Which part is the patient's pseudonym; the index is the last but three, the time but one."""


class Shapes:
    """The shapes that were seen, by the length of their entries."""

    def __init__(self) -> None:
        self._known: dict[int, _Shape] = {}

    def sift(self, places: Sequence[int], entries: Sequence[bytes]) -> tuple[Alike, list[int]]:
        """Which of the disclosures at these places are of a known shape, and which are not."""
        alike, varying, rest = Alike([], [], [], []), [], []
        known = self._known.get
        for place in places:
            entry = entries[place]
            shape = known(len(entry))
            if shape is not None:
                parts = shape.parts(entry)
                if parts[::2] == shape.fixed:
                    varying.append(b"".join(parts[1::2]))
                    alike.places.append(place)
                    alike.indices.append(parts[-4])
                    alike.times.append(parts[-2])
                    alike.patients.append(parts[shape.patient])
                    continue
            rest.append(place)
        if b"".join(varying).translate(None, _PLAIN):
            return Alike([], [], [], []), list(places)
        return alike, rest

    def learn(self, entries: Sequence[bytes]) -> None:
        """Remember the shapes of disclosures that are known to be canonical."""
        if len(self._known) >= MOST:
            self._known.clear()
        for entry in {len(entry): entry for entry in entries}.values():
            if (shape := _shape(entry)) is not None:
                self._known[len(entry)] = shape


def _shape(entry: bytes) -> _Shape | None:
    """The shape of a canonical disclosure; None where it is not plain enough to tell.

    Without a backslash no string holds a quotation mark, so that a name between two of them before
    a colon is a member's; one that is there once is the member that is meant.
    """
    if b"\\" in entry or any(entry.count(name) != 1 for name in (_PATIENT, _RECORDED_AT, _INDEX)):
        return None
    spans = []
    for name in (*_VARYING, _INDEX):
        if entry.count(name) == 1:
            begin = entry.index(name) + len(name)
            spans.append((begin, entry.index(b"," if name == _INDEX else b'"', begin)))
    layout, at, patient = "", 0, entry.index(_PATIENT) + len(_PATIENT)
    for begin, end in sorted(spans):
        layout += f"{begin - at}s{end - begin}s"
        at = end
    parts = Struct(f"{layout}{len(entry) - at}s").unpack
    which = 2 * [begin for begin, _ in sorted(spans)].index(patient) + 1
    return _Shape(parts, parts(entry)[::2], which)
