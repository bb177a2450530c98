"""Manifest: what a backup holds, so that no byte of it comes back altered.

Every digest is keyed: a plain one of a file whose content can be guessed would let whoever holds
the backup test their guess. The manifest is authenticated as a whole under the practice's keyring,
which is never in the same place; it names nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reengage.errors import BackupError
from reengage.keys import Keyring

NAME = "manifest.json"
DUMP = "store.dump"
VERSION = 1
_LABEL = "backup"


@dataclass(frozen=True)
class Manifest:
    """One backup of the store."""

    backup_id: str
    """The instant at which it began, by the machine's clock: 20261128T064500.123456Z."""
    origin: str
    """The ledger's."""
    entries: int
    """Of the ledger, in the dump."""
    root: str
    """Over those entries, in hex: the dump's ledger is this one or it is not restored."""
    mark: str
    """Of the keyring that the store belongs to; a pseudonym."""
    server: int
    """Major version of the PostgreSQL that was dumped."""
    roles: tuple[str, ...]
    """Roles that the dump grants something to."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name to keyed digest."""

    def to_bytes(self, keyring: Keyring) -> bytes:
        """The manifest's file."""
        said = {"v": VERSION, **asdict(self)}
        return _bytes({**said, "seal": _seal(keyring, said)})


def read(directory: Path, keyring: Keyring) -> Manifest:
    """The manifest of a backup, and every file of it as it was. Raises BackupError."""
    path = directory / NAME
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        seal, version = str(said.pop("seal")), said["v"]
        sound = hmac.compare_digest(seal, _seal(keyring, said))
    except FileNotFoundError:
        raise BackupError(
            f"{directory} is no whole backup: it has no {NAME}; name another one"
        ) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise BackupError(f"{path} cannot be read; name another backup") from None
    if not sound:
        raise BackupError(
            f"{path} was altered, or the backup was taken with another keyring; restore the keyring"
            " that belongs to it first"
        )
    if said.pop("v") != VERSION:
        raise BackupError(
            f"{path} is of version {version}, this program reads {VERSION}; use the one that made"
            " it"
        )
    manifest = Manifest(**{**said, "roles": tuple(said["roles"])})
    for name, expected in manifest.files.items():
        _require(directory / name, name, expected, keyring)
    return manifest


def measure(directory: Path, keyring: Keyring) -> dict[str, str]:
    """The keyed digest of every file below a directory, by name."""
    files = sorted(one for one in directory.rglob("*") if one.is_file() and one.name != NAME)
    names = {str(one.relative_to(directory)): one for one in files}
    return {name: digest_of(one, name, keyring) for name, one in names.items()}


def digest_of(path: Path, name: str, keyring: Keyring) -> str:
    """Keyed digest of a file of this name, read piece by piece."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    return keyring.authenticator(_LABEL, name.encode() + b"\x00" + content).hex()


def _require(path: Path, name: str, expected: str, keyring: Keyring) -> None:
    try:
        found = digest_of(path, name, keyring)
    except OSError as error:
        raise BackupError(
            f"{path} cannot be read ({error.strerror}); name another backup"
        ) from None
    if not hmac.compare_digest(found, expected):
        raise BackupError(f"{path} is not what was backed up; name another backup")


def _seal(keyring: Keyring, said: Mapping[str, Any]) -> str:
    return keyring.authenticator(f"{_LABEL}/manifest", _bytes(said)).hex()


def _bytes(said: Mapping[str, Any]) -> bytes:
    return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode()
