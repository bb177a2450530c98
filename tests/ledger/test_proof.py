"""A proof that an entry is in the ledger holds without a database; no other one does (LOG-02)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from made import Ledger, access, disclosure
from reengage.errors import LedgerError
from reengage.ledger.checkpoint import Checkpoint, sign, verifier_of
from reengage.ledger.entry import parse
from reengage.ledger.merkle import leaf_hash
from reengage.ledger.proof import check_proof, prove
from sqlalchemy import text


def proof_of(ledger: Ledger, index: int) -> dict[str, Any]:
    """As its reader gets it: through a file of JSON."""
    with ledger.engine.connect() as connection:
        document = prove(connection, ledger.checkpoints, ledger.keys, index)
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("index", [0, 3, 9, 10, 100, 255, 256, 312])
def test_every_entry_that_a_checkpoint_covers_is_proved(index: int, days: Ledger) -> None:
    document = proof_of(days, index)
    checked = check_proof(document, days.keys)
    assert checked.entry == parse(bytes(days.rows()[index][4]))
    assert checked.checkpoint.size == (10 if index < 10 else 313)
    assert document["keys"] == [key.text for key in days.keys]


@pytest.mark.parametrize(
    ("index", "said"),
    [(313, "no checkpoint covers entry 313 yet"), (319, "no entry 319"), (-1, "no entry -1")],
)
def test_what_no_checkpoint_covers_cannot_be_proved(index: int, said: str, days: Ledger) -> None:
    with pytest.raises(LedgerError, match=said):
        proof_of(days, index)


def packed(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def forged(document: dict[str, Any]) -> dict[str, Any]:
    """A proof of one's own entry under a checkpoint of one's own, with the key beside it."""
    origin = document["checkpoint"].split("\n")[0]
    content = base64.b64decode(document["entry"]).replace(b'"index":20', b'"index":0')
    key = Ed25519PrivateKey.generate()
    note = sign(Checkpoint(origin, 1, leaf_hash(content)), origin, key)
    return {
        "index": 0, "entry": packed(content), "proof": [], "checkpoint": note,
        "keys": [verifier_of(origin, key).text],
    }  # fmt: skip


Change = Callable[[dict[str, Any]], dict[str, Any]]
SPOILED: dict[str, tuple[str, Change]] = {
    "another index": ("is not entry 21 of the ledger", lambda d: {"index": 21}),
    "an index beyond": ("is not entry 900 of the ledger", lambda d: {"index": 900}),
    "a negative index": ("its index is no place", lambda d: {"index": -1}),
    "an index that is true": ("its index is no place", lambda d: {"index": True}),
    "an index as text": ("its index is no place", lambda d: {"index": "20"}),
    "another entry": ("is not entry 20", lambda d: {"entry": packed(b"{}")}),
    "an entry that is no base64": ("its entry is not base64", lambda d: {"entry": "{}"}),
    "an entry with a line break": ("entry is not base64", lambda d: {"entry": d["entry"] + "\n"}),
    "an entry that is none": ("its entry is not base64", lambda d: {"entry": None}),
    "a node less": ("is not entry 20", lambda d: {"proof": d["proof"][:-1]}),
    "a node more": ("is not entry 20", lambda d: {"proof": [*d["proof"], d["proof"][0]]}),
    "no nodes": ("is not entry 20", lambda d: {"proof": []}),
    "nodes in another order": ("is not entry 20", lambda d: {"proof": d["proof"][::-1]}),
    "a short node": ("its proof is no list of hashes", lambda d: {"proof": [packed(b"x")]}),
    "a node that is no text": ("its proof is not base64", lambda d: {"proof": [7]}),
    "nodes that are no list": ("its proof is no list", lambda d: {"proof": "x"}),
    "far too many nodes": ("its proof is no list", lambda d: {"proof": d["proof"] * 99}),
    "another size": ("its checkpoint is not to be trusted: the signature",
                     lambda d: {"checkpoint": d["checkpoint"].replace("\n313\n", "\n312\n")}),
    "no note": ("its checkpoint is not to be trusted: it is no", lambda d: {"checkpoint": "x"}),
    "a note that is no text": ("its checkpoint is no signed note", lambda d: {"checkpoint": 7}),
    "keys that are no list": ("its keys are no list", lambda d: {"keys": "x"}),
    "keys that are no text": ("its keys are no list", lambda d: {"keys": [7]}),
    "another version": ("of another version", lambda d: {"v": 2}),
    "a version that is true": ("of another version", lambda d: {"v": True}),
    "a member more": ("its members are not those", lambda d: {"hidden": 1}),
    "everything forged, its key beside it": ("no key that is trusted here signed it", forged),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_proof_is_refused_with_the_reason(how: str, days: Ledger) -> None:
    said, change = SPOILED[how]
    document = proof_of(days, 20)
    with pytest.raises(LedgerError, match=said):
        check_proof({**document, **change(document)}, days.keys)


@pytest.mark.parametrize("document", [None, [], "x", 7, {}, {"v": 1}])
def test_what_is_no_proof_is_refused(document: object, days: Ledger) -> None:
    with pytest.raises(LedgerError, match="it is no proof"):
        check_proof(document, days.keys)


def test_an_entry_in_the_place_of_another_is_refused_although_it_was_signed(days: Ledger) -> None:
    """The tree knows places, not what an entry says of its own; both must agree."""
    origin, content = "reengage/x", bytes(days.rows()[20][4])
    key = Ed25519PrivateKey.generate()
    note = sign(Checkpoint(origin, 1, leaf_hash(content)), origin, key)
    document = {**proof_of(days, 20), "index": 0, "proof": [], "checkpoint": note}
    with pytest.raises(LedgerError, match="the entry at 0 says that it is entry 20"):
        check_proof(document, [verifier_of(origin, key)])


def test_a_ledger_that_is_not_what_was_signed_proves_nothing(ledger: Ledger) -> None:
    ledger.append(access("a"), disclosure(1), access("b"))
    ledger.sign()
    with ledger.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check"))
        connection.execute(text("UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 0"))
    with pytest.raises(LedgerError, match="is not entry 2 of the ledger that was signed at size 3"):
        proof_of(ledger, 2)
