"""The tree: public vectors, known hashes, every proof of small trees (LOG-01, LOG-02, LOG-03)."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from reengage.ledger.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    path_ranges,
    root_of,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(129)]
SEVEN = LEAVES[:7]


def root_by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    left, right = root_by_the_book(leaves[:split]), root_by_the_book(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


ROOTS = [root_by_the_book(LEAVES[:size]) for size in range(len(LEAVES) + 1)]


def mutants(proof: list[bytes]) -> list[list[bytes]]:
    """The proof, spoiled: shorter, longer, and with a bit of each node changed."""
    spoiled = [proof[:-1], [*proof, LEAVES[0]], [LEAVES[0], *proof]] if proof else [[LEAVES[0]]]
    for place, node in enumerate(proof):
        other = bytes([node[0] ^ 1]) + node[1:]
        spoiled.append([*proof[:place], other, *proof[place + 1 :]])
    return spoiled


def octets(packed: str | None) -> bytes:
    return base64.b64decode(packed or "")


def vectors(directory: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text("utf-8")) for path in sorted(directory.rglob("*.json"))]
    assert any(case["wantErr"] for case in found)
    assert any(not case["wantErr"] for case in found)
    return found


def test_known_hashes() -> None:
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert node_hash(EMPTY, EMPTY) == sha256(b"\x01" + EMPTY + EMPTY).digest()


def test_public_vectors_of_inclusion(merkle: Path) -> None:
    wrong = [
        case["desc"]
        for case in vectors(merkle / "inclusion")
        if includes(
            octets(case["leafHash"]),
            case["leafIdx"],
            case["treeSize"],
            [octets(node) for node in case["proof"] or []],
            octets(case["root"]),
        )
        is case["wantErr"]
    ]
    assert wrong == []


def test_public_vectors_of_consistency(merkle: Path) -> None:
    wrong = [
        (case["size1"], case["size2"], case["desc"])
        for case in vectors(merkle / "consistency")
        if extends(
            case["size1"],
            octets(case["root1"]),
            case["size2"],
            octets(case["root2"]),
            [octets(node) for node in case["proof"] or []],
        )
        is case["wantErr"]
    ]
    assert wrong == []


def test_every_root_whatever_the_steps_it_grew_in() -> None:
    for size in range(len(LEAVES) + 1):
        assert root_of(LEAVES[:size]) == ROOTS[size]
        for first in (0, 1, 5, 64, size // 2):
            grown = Frontier().extended(LEAVES[: min(first, size)]).extended(LEAVES[first:size])
            assert (grown.size, grown.root) == (size, ROOTS[size])
            assert Frontier.from_bytes(size, grown.to_bytes()) == grown


@pytest.mark.parametrize(("size", "octets_"), [(3, 32), (3, 96), (4, 33), (-1, 0), (0, 32)])
def test_peaks_that_do_not_fit_the_size_are_refused(size: int, octets_: int) -> None:
    with pytest.raises(ValueError, match="number of peaks"):
        Frontier.from_bytes(size, b"\0" * octets_)


def test_every_inclusion_proof_holds_and_no_spoiled_one() -> None:
    for size in range(1, len(LEAVES) + 1):
        for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
            proof = inclusion_proof(LEAVES[:size], index)
            assert includes(LEAVES[index], index, size, proof, ROOTS[size])
            assert not includes(LEAVES[index], index + size, size, proof, ROOTS[size])
            assert not includes(LEAVES[index], size, size, proof, ROOTS[size])
            assert not includes(LEAVES[index], -1, size, proof, ROOTS[size])
            assert not includes(EMPTY, index, size, proof, ROOTS[size])
            for spoiled in mutants(proof):
                assert not includes(LEAVES[index], index, size, spoiled, ROOTS[size])


def test_every_consistency_proof_holds_and_no_spoiled_one() -> None:
    for size in range(1, 66):
        for earlier in range(1, size + 1):
            proof = consistency_proof(LEAVES[:size], earlier)
            assert extends(earlier, ROOTS[earlier], size, ROOTS[size], proof)
            assert not extends(earlier, EMPTY, size, ROOTS[size], proof)
            assert not extends(earlier, ROOTS[earlier], size, EMPTY, proof)
            for spoiled in mutants(proof):
                assert not extends(earlier, ROOTS[earlier], size, ROOTS[size], spoiled)


def test_a_forked_or_shortened_log_extends_nothing() -> None:
    forked = [*LEAVES[:3], LEAVES[100], *LEAVES[4:7]]
    for earlier in range(4, 7):
        proof = consistency_proof(forked, earlier)
        assert not extends(earlier, ROOTS[earlier], 7, root_of(forked), proof)
    assert not extends(7, ROOTS[7], 4, ROOTS[4], consistency_proof(SEVEN, 4))


def test_the_sizes_that_the_rfc_leaves_open() -> None:
    assert extends(7, ROOTS[7], 7, ROOTS[7], [])
    assert not extends(7, ROOTS[7], 7, ROOTS[6], [])
    assert not extends(7, ROOTS[7], 7, ROOTS[7], [LEAVES[0]])
    assert extends(0, EMPTY, 0, EMPTY, [])
    assert not extends(0, EMPTY, 7, ROOTS[7], [])


def test_the_rfcs_example_of_seven_leaves() -> None:
    assert [len(inclusion_proof(SEVEN, index)) for index in (0, 3, 4, 6)] == [3, 3, 3, 2]
    assert [len(consistency_proof(SEVEN, earlier)) for earlier in (3, 4, 6)] == [4, 1, 3]
    assert path_ranges(6, 7) == [(4, 6), (0, 4)]
    with pytest.raises(IndexError):
        inclusion_proof(SEVEN, 7)
    with pytest.raises(IndexError):
        consistency_proof(SEVEN, 8)
