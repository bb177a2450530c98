"""Signers: the Ed25519 keys that sign checkpoints, numbered, in the keyring's `ledger/`.

`0001.pem` signs, `0001.vkey` verifies and may be given to anyone. The key with the highest number
that is still there signs; an older one, or one that was lost, goes on verifying what it signed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from reengage.errors import KeyringError
from reengage.keys import Keyring, write_new
from reengage.keys.info import KeyInfo
from reengage.ledger.checkpoint import VerifierKey, verifier_of


def ensure_signer(keyring: Keyring, origin: str) -> tuple[str, Ed25519PrivateKey]:
    """The name and key that sign, made on first use.

    Raises KeyringError when there were keys and none that signs is left: a new one is a person's
    decision (`rotate_signer`), since whoever holds the old one can still sign.
    """
    keys = keyring.purposes["ledger"]
    alive = [info for info in keys.infos() if not info.destroyed and not keys.is_lost(info)]
    if not alive and any(keys.directory.glob("[0-9]*.vkey")):
        raise KeyringError(
            f"the signing key of the ledger is missing from {keys.directory}; what it signed still"
            " verifies: restore it, or make a new one with `python -m reengage keys rotate ledger`"
        )
    if not alive:
        rotate_signer(keyring, origin)
        return ensure_signer(keyring, origin)
    path = keys.path(alive[-1].number)
    key = load_pem_private_key(keys.secret(alive[-1].number), None)
    verifier = VerifierKey.parse(path.with_suffix(".vkey").read_text(encoding="utf-8"))
    if not isinstance(key, Ed25519PrivateKey) or verifier_of(verifier.name, key) != verifier:
        raise KeyringError(f"{path} is not the key of {path.with_suffix('.vkey').name} beside it")
    return verifier.name, key


def rotate_signer(
    keyring: Keyring, origin: str, told: Callable[[KeyInfo], None] = lambda info: None
) -> KeyInfo:
    """A new key, which signs from now on; the old ones stay and verify.

    `told` hears of it just before; `public` is its verifier key.
    """
    keys = keyring.purposes["ledger"]
    key = Ed25519PrivateKey.generate()
    public = verifier_of(origin, key).text

    def beside(info: KeyInfo) -> None:
        write_new(keys.path(info.number).with_suffix(".vkey"), f"{public}\n".encode())

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return keys.make(pem, told, public=public, beside=beside)


def verifiers(keyring_directory: Path) -> list[VerifierKey]:
    """All keys that ever signed here."""
    found = sorted((keyring_directory / "ledger").glob("[0-9]*.vkey"))
    return [VerifierKey.parse(path.read_text(encoding="utf-8")) for path in found]
