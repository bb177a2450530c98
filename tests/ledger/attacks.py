"""Attacks on a ledger of two days (made.py), as the database's superuser and the files' owner.

Entries 0-9 were signed at size 10, which entry 10 records; 0-312 at 313, which entry 313 records;
314-318 came after. No attack has the keyring.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from made import OPEN_RUN, RUN, disclosure, event
from reengage.ledger.canonical import canonical
from reengage.ledger.checkpoint import Checkpoint, VerifierKey, sign
from reengage.ledger.entry import assemble
from reengage.ledger.merkle import Frontier, leaf_hash
from reengage.ledger.records import Record
from sqlalchemy import Connection, text

SIGNED = "00000000000000000313.checkpoint"
EARLIER = "00000000000000000010.checkpoint"
RECORDED = 313
LAST = 318


@dataclass
class Hand:
    """What an attacker reaches: the database without triggers and constraints, and the files."""

    connection: Connection
    files: Path
    keys: list[VerifierKey]
    old_head: Mapping[str, Any]

    def run(self, statement: str, **values: Any) -> None:
        self.connection.execute(text(statement), values)

    def one(self, statement: str, **values: Any) -> Any:
        return self.connection.execute(text(statement), values).scalar_one()

    def bytes_of(self, index: int) -> bytes:
        return bytes(self.one("SELECT entry FROM ledger_entry WHERE index = :i", i=index))

    def put(self, index: int, content: bytes, *, hashed: bool = True) -> None:
        """Other bytes for an entry, with their hash or the old one."""
        self.run(
            "UPDATE ledger_entry SET entry = :e, leaf = coalesce(:l, leaf) WHERE index = :i",
            e=content,
            l=leaf_hash(content) if hashed else None,
            i=index,
        )

    def replace(self, index: int, old: bytes, new: bytes, *, hashed: bool = True) -> None:
        content = self.bytes_of(index)
        assert content.count(old) == 1
        self.put(index, content.replace(old, new), hashed=hashed)

    def add(self, index: int, record: Record, *, at: str | None = None) -> None:
        """An entry as a writer would have made it."""
        at = at or json.loads(self.bytes_of(LAST))["recorded_at"]
        content = assemble(
            canonical(record.body), back=False, index=index, kind=record.kind, recorded_at=at
        )
        self.run(
            "INSERT INTO ledger_entry VALUES (:i, :k, :s, :l, :e)",
            i=index, k=record.kind, s=record.subject, l=leaf_hash(content), e=content,
        )  # fmt: skip

    def head_again(self) -> None:
        """The head that the entries come to; its mac stays, for want of the key."""
        found = self.connection.execute(
            text("SELECT leaf, entry FROM ledger_entry ORDER BY index")
        ).all()
        frontier = Frontier().extended(bytes(leaf) for leaf, _ in found)
        at = json.loads(bytes(found[-1].entry))["recorded_at"] if found else None
        self.run(
            "UPDATE ledger_head SET size = :s, peaks = :p, recorded_at = CAST(:a AS timestamptz)",
            s=frontier.size, p=frontier.to_bytes(), a=at,
        )  # fmt: skip

    def write(self, name: str, note: str) -> None:
        (self.files / name).unlink(missing_ok=True)
        (self.files / name).write_text(note, encoding="utf-8")

    def note(self, name: str = SIGNED) -> str:
        return (self.files / name).read_text(encoding="utf-8")

    def forged(self, **other: Any) -> str:
        """A checkpoint of one's own, signed with a key of one's own under the ledger's name."""
        origin, size, root, *_ = self.note().split("\n")
        said = {"origin": origin, "size": int(size), "root": leaf_hash(root.encode()), **other}
        return sign(Checkpoint(**said), origin, Ed25519PrivateKey.generate())


@dataclass(frozen=True)
class Attack:
    """What is done, and what must be said of it."""

    name: str
    said: str
    """Found in some finding; a regular expression."""
    do: Callable[[Hand], Any]
    head_only: bool = False
    """Seen at the head alone, which the second verifier does not have."""


def swap(hand: Hand, one: int, other: int, columns: str) -> None:
    """Two rows exchange these columns."""
    hand.run(
        f"UPDATE ledger_entry e SET ({columns}) = (SELECT {columns} FROM ledger_entry o"
        " WHERE o.index = :a + :b - e.index) WHERE e.index IN (:a, :b)",
        a=one, b=other,
    )  # fmt: skip


def reordered(hand: Hand) -> None:
    """Two rows exchange their places in the table."""
    hand.run("UPDATE ledger_entry SET index = :a + :b - index WHERE index IN (:a, :b)", a=20, b=21)


def shifted(hand: Hand, content: bytes) -> bytes:
    """The same entry one place further on."""
    return re.sub(
        rb'"index":(\d+)', lambda match: b'"index":%d' % (int(match.group(1)) + 1), content
    )


def inserted_in_the_middle(hand: Hand) -> None:
    """All entries after it move on, hashes and head included."""
    found = hand.connection.execute(
        text("SELECT index, entry FROM ledger_entry WHERE index >= 100 ORDER BY index DESC")
    ).all()
    for index, content in found:
        hand.put(index, shifted(hand, bytes(content)))
        hand.run("UPDATE ledger_entry SET index = index + 1 WHERE index = :i", i=index)
    hand.add(100, disclosure(900), at=json.loads(hand.bytes_of(99))["recorded_at"])
    hand.head_again()


def rebuilt_from(hand: Hand, index: int) -> None:
    """An outcome is another, and everything behind it fits: hash, head."""
    hand.replace(index, b'"outcome":"sent"', b'"outcome":"refused"')
    hand.head_again()


def old_head(hand: Hand) -> None:
    """A head that a writer once left, its mac included."""
    for name, value in hand.old_head.items():
        hand.run(f"UPDATE ledger_head SET {name} = :v", v=value)


def deleted(where: str, *, head: bool = False) -> Callable[[Hand], None]:
    def do(hand: Hand) -> None:
        hand.run(f"DELETE FROM ledger_entry WHERE {where}")
        if head:
            hand.head_again()

    return do


def emptied(hand: Hand) -> None:
    hand.run("TRUNCATE ledger_entry")
    hand.run("UPDATE ledger_head SET size = 0, peaks = '', recorded_at = NULL, mac = ''")


def collision(hand: Hand) -> None:
    """A signature of another key under the name and key id of the right one."""
    key = hand.keys[0]
    text_, _, _ = hand.note().rpartition("\n\n")
    packed = key.key_id + Ed25519PrivateKey.generate().sign(f"{text_}\n".encode())
    hand.write(SIGNED, f"{text_}\n\n\u2014 {key.name} {base64.b64encode(packed).decode()}\n")


def update(index: int, column: str, value: object) -> Callable[[Hand], None]:
    def do(hand: Hand) -> None:
        hand.run(f"UPDATE ledger_entry SET {column} = :v WHERE index = :i", v=value, i=index)

    return do


def added(*some: Record) -> Callable[[Hand], None]:
    def do(hand: Hand) -> None:
        for number, record in enumerate(some):
            hand.add(LAST + 1 + number, record)
        hand.head_again()

    return do


def body(index: int, old: bytes, new: bytes, *, hashed: bool = True) -> Callable[[Hand], None]:
    return lambda hand: hand.replace(index, old, new, hashed=hashed)


SENT, KEPT = b'"outcome":"sent"', b'"outcome":"kept"'
AT = b'"campaign_date":"2025-06-02"'

ATTACKS = [
    Attack("a byte of a body", r"^entry 5 is not what was hashed",
           body(5, SENT, KEPT, hashed=False)),
    Attack("a byte of the last body", r"^entry 318 is not what was hashed",
           body(318, SENT, KEPT, hashed=False)),
    Attack("a byte of a hash", r"^entry 7 is not what was hashed",
           update(7, "leaf", b"\0" * 32)),
    Attack("a hash that is gone", r"^entry 7 is not what was hashed", update(7, "leaf", None)),
    Attack("bytes that are gone", r"^entry 7 has no bytes", update(7, "entry", None)),
    Attack("body and hash together", r"^checkpoint 10 contradicts the ledger: entries 0 to 9 ",
           body(5, SENT, KEPT)),
    Attack("body and hash between two checkpoints",
           r"^checkpoint 313 contradicts the ledger: entries 10 to 312 ", body(200, SENT, KEPT)),
    Attack("body, hash and head", r"^checkpoint 313 contradicts the ledger",
           lambda hand: rebuilt_from(hand, 200)),
    Attack("body, hash and head after the last checkpoint", r"^the head is not one that this key",
           lambda hand: rebuilt_from(hand, 317), head_only=True),
    Attack("body and hash after the last checkpoint", r"^the head's peaks are not",
           body(317, SENT, KEPT), head_only=True),
    Attack("an index", r"^entry 42 is missing", update(42, "index", 5000)),
    Attack("an index without a value", r"^entry 42 is missing", update(42, "index", None)),
    Attack("an index within the bytes", r"^entry 42 has another index",
           body(42, b'"index":42,', b'"index":43,')),
    Attack("a kind", r"^entry 42 has another kind", update(42, "kind", "access")),
    Attack("a kind within the bytes", r"^entry 42 is no entry: its kind is unknown",
           body(42, b'"kind":"disclosure"', b'"kind":"disclosed"')),
    Attack("a subject", r"^entry 42 has another subject", update(42, "subject", "0" * 32)),
    Attack("a member more", r"^entry 42 is no entry: its members",
           body(42, b'"index":42,', b'"hidden":1,"index":42,')),
    Attack("another version", r"^entry 42 is no entry: it is of another version",
           body(42, b'"v":1}', b'"v":2}')),
    Attack("deleted in the middle", r"^entry 100 is missing", deleted("index = 100")),
    Attack("deleted over a block's border", r"^entry 250 and the 19 after it are missing",
           deleted("index BETWEEN 250 AND 269")),
    Attack("deleted at the beginning", r"^entry 0 is missing", deleted("index = 0")),
    Attack("deleted at the end", r"^the head was left at size 319, and there are 318 entries",
           deleted("index = 318"), head_only=True),
    Attack("deleted at the end, head made to fit", r"^the head is not one that this keyring",
           deleted("index = 318", head=True), head_only=True),
    Attack("everything after a checkpoint", r"^the head was left at size 319, and there are 313",
           deleted("index >= 313"), head_only=True),
    Attack("everything before the last checkpoint's end", r"^checkpoint 313 was signed over more",
           deleted("index >= 312", head=True)),
    Attack("everything", r"^checkpoint 10 was signed over more entries than the 0", emptied),
    Attack("two rows reordered", r"^entry 20 has another index", reordered),
    Attack("two bodies swapped", r"^entry 20 has another index",
           lambda hand: swap(hand, 20, 21, "entry, leaf, subject")),
    Attack("two bodies swapped without their hashes", r"^entry 20 is not what was hashed",
           lambda hand: swap(hand, 20, 21, "entry")),
    Attack("inserted in the middle, everything made to fit",
           r"^checkpoint 313 contradicts the ledger: entries 10 to 312", inserted_in_the_middle),
    Attack("inserted at the end", r"^the head was left at size 319, and there are 320",
           lambda hand: hand.add(319, disclosure(900)), head_only=True),
    Attack("inserted at the end, head made to fit", r"^the head is not one that this keyring",
           added(disclosure(900)), head_only=True),
    Attack("a row doubled", r"^entry 50 is there twice",
           lambda hand: hand.run(
               "INSERT INTO ledger_entry SELECT * FROM ledger_entry WHERE index = 50")),
    Attack("re-signed with another key", r"^checkpoint 313 is not what was signed: no key that is",
           lambda hand: hand.write(SIGNED, hand.forged())),
    Attack("a key id that collides", r"^checkpoint 313 is not what was signed: the signature of",
           collision),
    Attack("a size within a checkpoint", r"^checkpoint 313 is not what was signed: the signature",
           lambda hand: hand.write(SIGNED, hand.note().replace("\n313\n", "\n312\n"))),
    Attack("a checkpoint replaced by an older one", r"^checkpoint 313 is a note of size 10",
           lambda hand: hand.write(SIGNED, hand.note(EARLIER))),
    Attack("a checkpoint replaced by another ledger's", r"^checkpoint 313 is not what was signed",
           lambda hand: hand.write(SIGNED, hand.forged(origin="reengage/another"))),
    Attack("a checkpoint under a larger name", r"^checkpoint 319 is a note of size 313",
           lambda hand: hand.write("0" * 17 + "319.checkpoint", hand.note())),
    Attack("a file with no checkpoint's name", r"^a file beside the checkpoints has no checkpoint",
           lambda hand: hand.write("newest.checkpoint", hand.note())),
    Attack("a checkpoint's file that is gone",
           r"^checkpoint 10 has no file, and entry 10 holds the note",
           lambda hand: (hand.files / EARLIER).unlink()),
    Attack("all checkpoints' files gone",
           r"^checkpoint 313 has no file, and entry 313 holds the note",
           lambda hand: [(hand.files / name).unlink() for name in (EARLIER, SIGNED)]),
    Attack("files gone, and an entry changed", r"^checkpoint 313 contradicts the ledger",
           lambda hand: [*((hand.files / name).unlink() for name in (EARLIER, SIGNED)),
                         rebuilt_from(hand, 200)]),
    Attack("a note cut off", r"^checkpoint 313 is not what was signed: it is no signed note",
           lambda hand: hand.write(SIGNED, hand.note()[:-9])),
    Attack("a note without its signature", r"^checkpoint 313 is not what was signed: it is no",
           lambda hand: hand.write(SIGNED, hand.note().rpartition("\n\n")[0])),
    Attack("a checkpoint record of another note", r"^entry 313 holds a checkpoint that is not what",
           lambda hand: hand.put(RECORDED, hand.bytes_of(RECORDED).replace(
               json.dumps(hand.note(), ensure_ascii=False)[1:-1].encode(),
               json.dumps(hand.forged(), ensure_ascii=False)[1:-1].encode()))),
    Attack("a checkpoint record of an older note", r"^checkpoint 313 contradicts|head's peaks",
           lambda hand: [hand.put(RECORDED, hand.bytes_of(RECORDED).replace(
               json.dumps(hand.note(), ensure_ascii=False)[1:-1].encode(),
               json.dumps(hand.note(EARLIER), ensure_ascii=False)[1:-1].encode()))],
           head_only=True),
    Attack("a head's mac", r"^the head is not one that this keyring",
           lambda hand: hand.run("UPDATE ledger_head SET mac = '\\x00'"), head_only=True),
    Attack("a head's peaks", r"^the head's peaks are not those",
           lambda hand: hand.run("UPDATE ledger_head SET peaks = '\\x00'"), head_only=True),
    Attack("a head's clock", r"^the head's clock is not that",
           lambda hand: hand.run("UPDATE ledger_head SET recorded_at = '2020-01-01Z'"),
           head_only=True),
    Attack("a head's name", r"^checkpoint 10 is of another ledger",
           lambda hand: hand.run("UPDATE ledger_head SET origin = 'reengage/another'"),
           head_only=True),
    Attack("an old head put back", r"^the head was left at size 11, and there are 319", old_head,
           head_only=True),
    Attack("a head that is gone", r"^the ledger has 0 heads",
           lambda hand: hand.run("DELETE FROM ledger_head"), head_only=True),
    Attack("white space", r"^entry 42 is no entry: its bytes are not canonical from byte 8 on",
           body(42, b'{"body":{', b'{"body": {')),
    Attack("an escape of another spelling", r"^entry 42 is no entry: its bytes are not canonical",
           body(42, b'"vendor":"acme"', b'"vendor":"acm\\u0065"')),
    Attack("members out of order", r"^entry 42 is no entry: its bytes are not canonical",
           body(42, b'"index":42,"kind":"disclosure",', b'"kind":"disclosure","index":42,')),
    Attack("a line after it", r"^entry 42 is no entry: its bytes are not canonical",
           lambda hand: hand.put(42, hand.bytes_of(42) + b"\n")),
    Attack("a member twice", r"^entry 42 is no entry: an object of it has a member twice",
           body(42, b'"vendor":"acme"', b'"vendor":"acme","vendor":"acme"')),
    Attack("a fraction", r"^entry 42 is no entry: a number of it is no integer",
           body(42, b'"code":250', b'"code":250.5')),
    Attack("an integer as a fraction", r"^entry 42 is no entry: a number of it is no integer",
           body(42, b'"code":250', b'"code":250.0')),
    Attack("an integer too large", r"^entry 42 is no entry: \$.transport.code is an integer beyond",
           body(42, b'"code":250', b'"code":9007199254740993')),
    Attack("a lone surrogate", r"^entry 42 is no entry: \$.vendor holds a lone surrogate",
           body(42, b'"vendor":"acme"', b'"vendor":"\\ud800"')),
    Attack("octets that are no UTF-8", r"^entry 42 is no entry: it is not UTF-8",
           body(42, b'"vendor":"acme"', b'"vendor":"\xff"')),
    Attack("no JSON", r"^entry 42 is no entry: it is no JSON", lambda hand: hand.put(42, b"{")),
    Attack("nested without end", r"^entry 42 is no entry: it is nested too deeply",
           lambda hand: hand.put(42, b"[" * 100_000)),
    Attack("an instant that is none", r"^entry 42 is no entry: recorded_at is no instant",
           lambda hand: hand.put(42, re.sub(
               rb'"recorded_at":"\d{4}', b'"recorded_at":"0000', hand.bytes_of(42)))),
    Attack("a clock that lies", r"^entry 42 says that the clock ran backwards",
           body(42, b'"index":42', b'"clock":"back","index":42')),
    Attack("a clock that keeps silent", r"^entry 43 does not say that the clock ran backwards",
           lambda hand: hand.put(42, re.sub(
               rb'"recorded_at":"\d{4}', b'"recorded_at":"2999', hand.bytes_of(42)))),
    Attack("a second START", r"^entry 319 is a second START", added(event(OPEN_RUN, "START"))),
    Attack("an event after the end", r"^entry 319 comes after the end",
           added(event(RUN, "RUNNING"))),
    Attack("a second end", r"^entry 320 comes after the end",
           added(event(OPEN_RUN, "FAIL"), event(OPEN_RUN, "COMPLETE"))),
    Attack("an end without a START", r"^entry 319 is an event of a run without a START",
           added(event("33333333-3333-4333-8333-333333333333", "ABORT"))),
    Attack("an event of no known type", r"^entry 319 is an event of a type",
           added(event(OPEN_RUN, "PAUSED"))),
]  # fmt: skip
