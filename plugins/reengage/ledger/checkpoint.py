"""Checkpoint: a signed note that a tree of so many leaves has this root.

C2SP tlog-checkpoint (origin, size, root; no extension lines) inside a C2SP signed note v1.0.0 with
an Ed25519 signature (LOG-05, LOG-06, LOG-07). Anyone who holds the verifier key reads it without
the database, and compares it with any other checkpoint of the ledger.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reengage.errors import LedgerError
from reengage.ledger.merkle import HASH_BYTES

ED25519 = b"\x01"
"""Signature type of the signed note specification; another type is a key of another owner."""

_NAME = re.compile(r"[^\s+]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_SIGNATURE = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")  # of 63 bits


@dataclass(frozen=True)
class Checkpoint:
    """What a note says: the ledger's name, the number of its entries, their root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed, its last newline included."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name that it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four octets of SHA-256(name || 0x0A || type || public key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """As the specification writes a verifier key: `name+id+base64(type || public key)`."""
        packed = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{packed}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key in `text`. Raises LedgerError when it is none, or its id is another's."""
        name, _, rest = text.strip().partition("+")
        key_id, _, packed = rest.partition("+")
        decoded = _decoded(packed)
        if not _NAME.fullmatch(name) or len(decoded) != 33 or decoded[:1] != ED25519:
            raise LedgerError("a verifier key is not of the form name+id+key with Ed25519; see it")
        key = cls(name, decoded[1:])
        if key.key_id.hex() != key_id:
            raise LedgerError(f"verifier key of {name}: its id does not belong to the key")
        return key

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def verifier_of(name: str, private: Ed25519PrivateKey) -> VerifierKey:
    """The public half of a signing key."""
    return VerifierKey(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def sign(checkpoint: Checkpoint, name: str, private: Ed25519PrivateKey) -> str:
    """The checkpoint as a signed note."""
    signature = private.sign(checkpoint.text.encode())
    packed = base64.b64encode(verifier_of(name, private).key_id + signature).decode()
    return f"{checkpoint.text}\n\u2014 {name} {packed}\n"


def open_note(note: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint of a note that one of `keys` signed.

    Signatures of unknown keys are passed over, as the specification says; one of a known key that
    fails condemns the note. Raises LedgerError.
    """
    text, signatures = _parts(note)
    known = {(key.name, key.key_id): key for key in keys}
    vouched = False
    for name, packed in signatures:
        if key := known.get((name, packed[:4])):
            if not key.signed(text.encode(), packed[4:]):
                raise LedgerError(f"the signature of {name} does not fit the text")
            vouched = True
    if not vouched:
        raise LedgerError("no key that is trusted here signed it")
    return _checkpoint(text)


def _parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    text, separator, block = note.rpartition("\n\n")
    if not separator or _CONTROL.search(note) or not block.endswith("\n"):
        raise LedgerError("it is no signed note (text, empty line, signatures)")
    found = []
    for line in block.splitlines():
        match = _SIGNATURE.fullmatch(line)
        packed = _decoded(match.group(2)) if match else b""
        if match is None or len(packed) <= 4:
            raise LedgerError("it is no signed note: a signature line is malformed")
        found.append((match.group(1), packed))
    return text + "\n", found


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise LedgerError("its text is no checkpoint (origin, size, root and nothing else)")
    root = _decoded(lines[2])
    if len(root) != HASH_BYTES:
        raise LedgerError("its root is not a SHA-256 hash in base64")
    return Checkpoint(lines[0], int(lines[1]), root)


def _decoded(packed: str) -> bytes:
    """The octets of canonical base64; none where it is malformed."""
    try:
        octets = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return octets if base64.b64encode(octets).decode() == packed else b""
