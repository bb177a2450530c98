"""Entry: the bytes of one entry, made and read (docs/ledger-format.md, section 1).

`parse` is the verdict on an entry's bytes: one way to write each, everything else is a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from reengage.errors import LedgerError
from reengage.ledger.canonical import LARGEST, canonical
from reengage.ledger.records import KINDS, subject_of

FORMAT = 1
"""Version of the entry's own members."""
BACK = "back"
"""What the member `clock` says, where there is one."""
MEMBERS = frozenset({"body", "index", "kind", "recorded_at", "v"})

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """What the bytes say."""

    index: int
    kind: str
    recorded_at: str
    back: bool
    """Whether it says that the clock ran backwards."""
    body: Mapping[str, Any] = field(repr=False)

    @property
    def subject(self) -> str:
        """What the database looks it up by."""
        return subject_of(self.kind, self.body)


def assemble(body: bytes, *, back: bool, index: int, kind: str, recorded_at: str) -> bytes:
    """The entry around a canonical body: the members in their order."""
    clock = f'"clock":"{BACK}",' if back else ""
    return (
        b'{"body":'
        + body
        + f',{clock}"index":{index},"kind":"{kind}",'
        f'"recorded_at":"{recorded_at}","v":{FORMAT}}}'.encode()
    )


def parse(content: bytes) -> Entry:
    """What an entry's bytes say. Raises LedgerError saying what is wrong with them."""
    said = _json(content)
    if type(said) is not dict or said.keys() - {"clock"} != MEMBERS:
        raise LedgerError("its members are not those of an entry")
    index, kind, at, body = said["index"], said["kind"], said["recorded_at"], said["body"]
    if type(said["v"]) is not int or said["v"] != FORMAT:
        raise LedgerError("it is of another version; verify it with the program that wrote it")
    if type(index) is not int or not 0 <= index <= LARGEST:
        raise LedgerError("its index is no place in the ledger")
    if type(kind) is not str or kind not in KINDS:
        raise LedgerError("its kind is unknown")
    if not is_instant(at):
        raise LedgerError("recorded_at is no instant in UTC with microseconds")
    if said.get("clock", BACK) != BACK:
        raise LedgerError(f'clock is not "{BACK}"')
    if type(body) is not dict:
        raise LedgerError("its body is no object")
    entry = Entry(index, kind, at, "clock" in said, body)
    subject_of(kind, body)
    _require_canonical(entry, content)
    return entry


def is_instant(value: object) -> bool:
    """Whether it is an instant as the ledger writes it."""
    if type(value) is not str or not _INSTANT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _require_canonical(entry: Entry, content: bytes) -> None:
    expected = assemble(
        canonical(entry.body),
        back=entry.back,
        index=entry.index,
        kind=entry.kind,
        recorded_at=entry.recorded_at,
    )
    if expected != content:
        same = next(
            (n for n, (a, b) in enumerate(zip(expected, content, strict=False)) if a != b),
            min(len(expected), len(content)),
        )
        raise LedgerError(f"its bytes are not canonical from byte {same} on")


def _json(content: bytes) -> Any:
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_members,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except UnicodeDecodeError:
        raise LedgerError("it is not UTF-8") from None
    except RecursionError:
        raise LedgerError("it is nested too deeply") from None
    except ValueError:  # json's own, and an integer of thousands of digits
        raise LedgerError("it is no JSON") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise LedgerError("an object of it has a member twice")
    return members


def _refuse_number(_: str) -> NoReturn:
    raise LedgerError("a number of it is no integer")
