"""A second verifier, written from docs/ledger-format.md alone: standard library and cryptography.

It shares no code with the first one and sees rows, checkpoints and keys; not the head.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LIMIT = 2**53 - 1
EVENTS = ["START", "RUNNING", "OTHER", "COMPLETE", "FAIL", "ABORT"]
SUBJECT = {"run_event": ["run", "runId"], "intent": ["run"], "disclosure": ["patient"],
           "access": ["actor"], "configuration": ["name"], "checkpoint": ["origin"]}  # fmt: skip
NAMES = ["body", "clock", "index", "kind", "recorded_at", "v"]
ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


class FaultError(Exception): ...


MALFORMED = (FaultError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def write(value, depth=0) -> str:
    """Section 1: the canonical form, or a FaultError."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        if abs(value) > LIMIT:
            raise FaultError("integer too large")
        return str(value)
    if isinstance(value, str):
        if "\0" in value:
            raise FaultError("NUL")
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
        escaped = (ESCAPES.get(ord(c)) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value)
        return '"' + "".join(escaped) + '"'
    if depth >= 65:  # of the entry; 64 of the body
        raise FaultError("too deep")
    if isinstance(value, list):
        return "[" + ",".join(write(item, depth + 1) for item in value) + "]"
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join(f"{write(n)}:{write(v, depth + 1)}" for n, v in members) + "}"


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise FaultError("member twice")
    return dict(pairs)


def read(content: bytes) -> dict:
    said = json.loads(content.decode(), object_pairs_hook=unique)
    if write(said).encode() != content:  # a fraction is written by nobody
        raise FaultError("not canonical")
    if sorted({**said, "clock": ""}) != NAMES or said.get("clock", "back") != "back":
        raise FaultError("members")
    at = said["recorded_at"]
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z", at):
        raise FaultError("instant")
    datetime.fromisoformat(at)
    if said["v"] is True or said["v"] != 1 or not isinstance(said["body"], dict):
        raise FaultError("version or body")
    return said


def open_note(note: str, keys: list[str]) -> tuple[str, int, bytes]:
    """Section 4: origin, size and root of a note that a key signed."""
    text, _, lines = note.rpartition("\n\n")
    signed, trusted = text + "\n", False
    known = {}
    for key in keys:
        name, key_id, packed = key.strip().split("+", 2)
        public = base64.b64decode(packed)
        if public[:1] != b"\1" or sha(name.encode(), b"\n", public)[:4].hex() != key_id:
            raise FaultError("key")
        known[name, key_id] = Ed25519PublicKey.from_public_bytes(public[1:])
    for line in lines.splitlines():
        dash, name, packed = line.split(" ")
        octets = base64.b64decode(packed, validate=True)
        if key := known.get((name, octets[:4].hex())):
            key.verify(octets[4:], signed.encode())
            trusted = True
    origin, size, root = text.split("\n")
    if not trusted or dash != "\u2014" or not re.fullmatch("0|[1-9][0-9]*", size):
        raise FaultError("note")
    return origin, int(size), base64.b64decode(root, validate=True)


def verify(rows, checkpoints: dict[str, str], keys: list[str]) -> list[str]:
    """Section 8: what is wrong with rows of (index, kind, subject, leaf, entry), in order."""
    faults, peaks, roots, notes, runs, before = [], [], {0: sha()}, [], {}, ""
    for place, (index, kind, subject, leaf, content) in enumerate(rows):
        peaks.append((1, sha(b"\0", content or b"")))
        if leaf != peaks[-1][1]:
            faults.append(f"entry {place}: leaf")
        while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
            (width, right), (_, left) = peaks.pop(), peaks.pop()
            peaks.append((2 * width, sha(b"\1", left, right)))
        root = peaks[-1][1]
        for _, peak in peaks[-2::-1]:
            root = sha(b"\1", peak, root)
        roots[place + 1] = root
        try:
            said = read(content)
            path = value = said["body"]
            for name in SUBJECT[said["kind"]]:
                path = value = path[name]
            if (index, kind, subject, said["index"]) != (place, said["kind"], value, place):
                raise FaultError("columns")
            if ("clock" in said) != (said["recorded_at"] < before):
                raise FaultError("clock")
            before = said["recorded_at"]
            if kind == "run_event":
                state, event = runs.get(value), said["body"]["eventType"]
                runs[value] = "ended" if event in EVENTS[3:] else "open"
                if event not in EVENTS or state == "ended" or (event == "START") != (state is None):
                    raise FaultError("order of events")
            if kind == "checkpoint":
                notes.append((place, said["body"]["note"], value))
        except MALFORMED as error:
            faults.append(f"entry {place}: {error!r}")
    files = [(name, note, None) for name, note in checkpoints.items()]
    for name, note, said_origin in [*files, *notes]:
        try:
            origin, size, root = open_note(note, keys)
            own = f"{size:020d}.checkpoint"
            if roots.get(size) != root or checkpoints.get(own) != note:
                raise FaultError("tree or file")
            if name != own if said_origin is None else size > name or origin != said_origin:
                raise FaultError("name, place or origin")
        except (FaultError, ValueError, InvalidSignature) as error:
            faults.append(f"checkpoint {name}: {error!r}")
    return faults
