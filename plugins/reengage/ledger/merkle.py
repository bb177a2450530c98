"""Merkle: the tree over the ledger's leaves, its proofs and their verification (RFC 9162).

Pure functions over hashes of 32 bytes. A leaf is H(0x00 || entry), a node H(0x01 || left || right),
the empty tree H(""); a tree of n leaves splits at the largest power of two strictly below n, and no
leaf is ever padded or doubled (section 2.1.1, LOG-01).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import add
from typing import Any

HASH_BYTES = 32
EMPTY = sha256(b"").digest()

_LEAF, _NODE = sha256(b"\x00"), sha256(b"\x01")


def leaf_hash(entry: bytes) -> bytes:
    """Hash of an entry."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Hash of each of many entries."""
    return _hashes(_LEAF, entries)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """A tree of `size` leaves by its perfect subtrees, largest first: what appending needs.

    There is one peak for each bit that is set in `size`, at most 63 of them.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def from_bytes(cls, size: int, packed: bytes) -> Frontier:
        """The frontier whose peaks lie one after the other in `packed`. Raises ValueError."""
        peaks = tuple(packed[i : i + HASH_BYTES] for i in range(0, len(packed), HASH_BYTES))
        if size < 0 or len(packed) != HASH_BYTES * size.bit_count():
            raise ValueError("the number of peaks does not fit the size")
        return cls(size, peaks)

    def to_bytes(self) -> bytes:
        """The peaks, one after the other."""
        return b"".join(self.peaks)

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """The frontier after these leaf hashes."""
        size, peaks, added = self.size, list(self.peaks), list(leaves)
        begin = 0
        while begin < len(added):
            # The largest perfect subtree that may begin here: it is hashed level by level.
            width = 1 << ((len(added) - begin).bit_length() - 1)
            if size:
                width = min(width, size & -size)
            peak = _perfect(added[begin : begin + width])
            full = size // width
            while full & 1:
                peak = node_hash(peaks.pop(), peak)
                full >>= 1
            peaks.append(peak)
            size, begin = size + width, begin + width
        return Frontier(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The tree's root."""
        if not self.peaks:
            return EMPTY
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over these leaf hashes."""
    return Frontier().extended(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, leaves), nearest first (section 2.1.3.1). Raises IndexError beyond the tree."""
    return [root_of(leaves[first:end]) for first, end in path_ranges(index, len(leaves))]


def path_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """First leaf and end under each node of the proof, nearest first. Raises IndexError."""
    if not 0 <= index < size:
        raise IndexError("no leaf of this tree has the index")
    ranges: list[tuple[int, int]] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            ranges.append((middle, last))
            last = middle
        else:
            ranges.append((first, middle))
            first = middle
    return ranges[::-1]


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """PROOF(earlier, leaves) (section 2.1.4.1); empty where `earlier` is 0 or the whole tree."""
    if not 0 <= earlier <= len(leaves):
        raise IndexError("the earlier tree is no part of this one")
    proof: list[bytes] = []
    first, last, whole = 0, len(leaves), True
    while earlier not in (first, last):
        middle = first + _split(last - first)
        if earlier <= middle:
            proof.append(root_of(leaves[middle:last]))
            last = middle
        else:
            proof.append(root_of(leaves[first:middle]))
            first, whole = middle, False
    if earlier == last and not whole:
        proof.append(root_of(leaves[first:last]))
    return proof[::-1]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf at `index` to the root of `size` (section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    fn, sn, found = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(step, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def extends(
    earlier: int, earlier_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `size` continues the earlier one (section 2.1.4.2).

    Beyond the RFC, which leaves them open: trees of one size need equal roots and an empty proof;
    of the empty tree nothing follows for a larger one, so that it is no proof of it.
    """
    if earlier == size:
        return not proof and earlier_root == root and (size > 0 or root == EMPTY)
    if not 0 < earlier < size or not proof or not _are_hashes(earlier_root, root, *proof):
        return False
    steps = list(proof)
    if earlier & (earlier - 1) == 0:
        steps.insert(0, earlier_root)
    fn, sn = earlier - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(step, old), node_hash(step, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == earlier_root and new == root


def _are_hashes(*found: bytes) -> bool:
    return all(len(one) == HASH_BYTES for one in found)


def _perfect(leaves: list[bytes]) -> bytes:
    """Root over a power of two of leaf hashes."""
    while len(leaves) > 1:
        leaves = _hashes(_NODE, map(add, leaves[::2], leaves[1::2]))
    return leaves[0]


def _hashes(begun: Any, contents: Iterable[bytes]) -> list[bytes]:
    """Hash of each after what was begun: a copy costs less than a new one and the joined bytes."""
    hashes, copy = [], begun.copy
    for content in contents:
        hashed = copy()
        hashed.update(content)
        hashes.append(hashed.digest())
    return hashes


def _split(size: int) -> int:
    """The largest power of two strictly below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
