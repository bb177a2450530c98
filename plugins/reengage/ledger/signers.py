"""Signers: the Ed25519 keys that sign checkpoints, numbered, in the keyring's `ledger/`.

`0001.pem` signs, `0001.vkey` verifies and may be given to anyone. The key with the highest number
that is still there signs; an older one, or one that was lost, goes on verifying what it signed.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from reengage.errors import KeyringError
from reengage.keys import Keyring, read_private, write_new
from reengage.ledger.checkpoint import VerifierKey, verifier_of


def ensure_signer(keyring: Keyring, origin: str) -> tuple[str, Ed25519PrivateKey]:
    """The name and key that sign, made on first use.

    Raises KeyringError when there were keys and none that signs is left: a new one is a person's
    decision (`rotate_signer`), since whoever holds the old one can still sign.
    """
    directory = keyring.directory / "ledger"
    private = sorted(directory.glob("[0-9]*.pem"))
    if not private and any(directory.glob("[0-9]*.vkey")):
        raise KeyringError(
            f"the signing key of the ledger is missing from {directory}; what it signed still"
            " verifies: restore it, or make a new one with `python -m reengage ledger rotate-key`"
        )
    if not private:
        return rotate_signer(keyring, origin)
    path = private[-1]
    key = load_pem_private_key(read_private(path), None)
    verifier = VerifierKey.parse(path.with_suffix(".vkey").read_text(encoding="utf-8"))
    if not isinstance(key, Ed25519PrivateKey) or verifier_of(verifier.name, key) != verifier:
        raise KeyringError(f"{path} is not the key of {path.with_suffix('.vkey').name} beside it")
    return verifier.name, key


def rotate_signer(keyring: Keyring, origin: str) -> tuple[str, Ed25519PrivateKey]:
    """A new key, which signs from now on; the old ones stay and verify."""
    directory = keyring.directory / "ledger"
    directory.mkdir(mode=0o700, exist_ok=True)
    taken = [int(path.stem) for path in directory.glob("[0-9]*.vkey")]
    stem = directory / f"{max(taken, default=0) + 1:04d}"
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_new(stem.with_suffix(".pem"), pem)
    write_new(stem.with_suffix(".vkey"), f"{verifier_of(origin, key).text}\n".encode())
    return ensure_signer(keyring, origin)


def verifiers(keyring_directory: Path) -> list[VerifierKey]:
    """All keys that ever signed here."""
    found = sorted((keyring_directory / "ledger").glob("[0-9]*.vkey"))
    return [VerifierKey.parse(path.read_text(encoding="utf-8")) for path in found]
