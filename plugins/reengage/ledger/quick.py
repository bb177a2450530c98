"""Quick: whether a block of entries is beyond doubt, several times faster than one by one.

An entry without characters from U+E000 on, which UTF-16 sorts otherwise, that is decoded into
ordered types without floats, and encoded again to the very same bytes, is canonical: no white
space, no member twice or out of order, every escape and number in its one spelling. Whatever does
not pass here is no fault yet: `entry.parse` decides it. A property test holds the two against each
other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Literal

import msgspec

from reengage.ledger.canonical import LARGEST
from reengage.ledger.reading import Block
from reengage.ledger.shape import Shapes

FOLLOWED = frozenset({"run_event", "checkpoint"})
"""Kinds whose bodies are held against one another."""
_DEEPEST = 10  # columnLineage's transformations
_IN_ONE_ORDER = bytes(range(0xEE))
"""Octets of characters below U+E000: they sort alike by UTF-8 and by UTF-16."""
_Integer = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
_Text = str | None


def _value(levels: int) -> Any:
    """The type of what may stand in a body of so many levels: no float, no integer too large."""
    plain: Any = _Integer | str | bool | None
    if not levels:
        return plain
    below = _value(levels - 1)
    return plain | dict[str, below] | list[below]  # type: ignore[valid-type]


class _Members(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Members of every kind, in canonical order; without `clock`, which is rare."""

    body: dict[str, _value(_DEEPEST)]  # type: ignore[valid-type]
    index: int
    kind: str
    recorded_at: str
    v: Literal[1]


class _Transport(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    cipher: _Text
    code: _Integer | None
    enhanced_code: _Text
    host: _Text
    kind: _Text
    peer_sha256: _Text
    queue_id: _Text
    recipient_policy: _Text
    requiretls: bool
    stage: _Text
    tls_version: _Text


class _Disclosure(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Nearly all entries: named members are decoded at twice the speed of any members."""

    authorization: _Text
    baa_id: _Text
    campaign: _Text
    campaign_date: _Text
    fields: list[str]
    letter: _Text
    message_id: _Text
    outcome: _Text
    patient: str
    pseudonym_key: _Text
    purpose: _Text
    reason: _Text
    recipient: _Text
    run: _Text
    seal: _Text
    seal_basis: _Text
    suite_sha256: _Text
    template_sha256: _Text
    transport: _Transport | None
    vendor: _Text


class _DisclosureMembers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    body: _Disclosure
    index: int
    kind: Literal["disclosure"]
    recorded_at: str
    v: Literal[1]


_ANY = msgspec.json.Decoder(_Members).decode_lines
_DISCLOSURES = msgspec.json.Decoder(_DisclosureMembers).decode_lines
_ENCODE = msgspec.json.Encoder(order="deterministic").encode_lines  # dicts by name

_SUBJECTS: Mapping[str | None, Callable[[Any], Any]] = {
    "run_event": lambda body: body["run"]["runId"],
    "intent": itemgetter("run"),
    "disclosure": lambda body: body.patient if type(body) is _Disclosure else body["patient"],
    "access": itemgetter("actor"),
    "configuration": itemgetter("name"),
    "checkpoint": itemgetter("origin"),
}


@dataclass(frozen=True)
class Quick:
    """A block beyond doubt, as far as each entry is looked at by itself."""

    times: Sequence[str]
    """What each says of when it was recorded; whether that is an instant is not looked at."""
    followed: Sequence[tuple[int, str, Any]]
    """Index, kind and body of those that are looked at together, each kind in order."""


def quick(block: Block, shapes: Shapes) -> Quick | None:
    """The block, if each entry is canonical and of the index, kind and subject that the table has.

    None where one of them is in doubt.
    """
    times = [""] * len(block.entries)
    followed: list[tuple[int, str, Any]] = []
    try:
        for kind, places in _by_kind(block.kinds).items():
            if kind == "disclosure":
                places = _take_alike(block, places, shapes, times)
            if not _take(block, kind, places, shapes, times, followed):
                return None
    except (KeyError, TypeError):  # a NULL, or a body without what it is looked up by
        return None
    return Quick(times, followed)


def _by_kind(kinds: Sequence[str | None]) -> dict[str | None, list[int]]:
    places: dict[str | None, list[int]] = {kind: [] for kind in set(kinds)}
    for place, kind in enumerate(kinds):
        places[kind].append(place)
    return places


def _take_alike(block: Block, places: list[int], shapes: Shapes, times: list[str]) -> list[int]:
    """Take the disclosures of a known shape; gives the places of all that are left."""
    alike, rest = shapes.sift(places, block.entries)  # type: ignore[arg-type]
    # Neither an index nor plain characters hold a line break: equal lines are equal one by one.
    indices = "\n".join([str(block.indices[place]) for place in alike.places])
    subjects = "\n".join([block.subjects[place] for place in alike.places])  # type: ignore[misc]
    if (
        b"\n".join(alike.indices) != indices.encode()
        or b"\n".join(alike.patients) != subjects.encode()
    ):
        return places
    said = {time: time.decode() for time in set(alike.times)}
    for place, time in zip(alike.places, alike.times, strict=True):
        times[place] = said[time]
    return rest


def _take(
    block: Block,
    kind: str | None,
    places: list[int],
    shapes: Shapes,
    times: list[str],
    followed: list[tuple[int, str, Any]],
) -> bool:
    """Take entries of one kind; whether all of them are beyond doubt."""
    entries: list[Any] = [block.entries[place] for place in places]
    said = _said(kind, entries)
    if said is None:
        return False
    subject = _SUBJECTS[kind]
    for place, one in zip(places, said, strict=True):
        times[place] = one.recorded_at
        if (one.index, one.kind, subject(one.body)) != (
            block.indices[place], kind, block.subjects[place]
        ):  # fmt: skip
            return False
    if kind in FOLLOWED:
        followed += [(one.index, one.kind, one.body) for one in said]
    if kind == "disclosure" and said and type(said[0]) is _DisclosureMembers:
        shapes.learn(entries)
    return True


def _said(kind: str | None, entries: Sequence[bytes]) -> list[Any] | None:
    """What entries say that are canonical beyond doubt."""
    lines = b"\n".join([*entries, b""])
    if not lines.isascii() and lines.translate(None, _IN_ONE_ORDER):
        return None
    if b"\\" in lines and rb"\u0000" in lines:
        return None
    for decode in (_DISCLOSURES, _ANY) if kind == "disclosure" else (_ANY,):
        try:
            said: list[Any] = decode(lines)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        # As many as there are, and no line break but after each of them.
        if len(said) == len(entries) and _ENCODE(said) == lines:
            return said
    return None
