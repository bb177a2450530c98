"""Keyring: the keys of a practice, by purpose, in a directory that only its owner may enter.

`wrap` wraps the data keys of runs and months, `pseudonym` makes pseudonyms and tokens, `portal`
seals letters at rest, `ledger` signs checkpoints, `smime` and `dkim` sign letters. Each has a
folder of numbered keys; beside them `runs/` and `months/` hold the wrapped data keys, and never a
database, so that removing one file makes what it sealed unreadable wherever copies of the database
went (WAL, dead rows, backups). What identifies a patient outside the vault is a keyed HMAC, never a
plain digest (LOG-09, PRV-26).
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from uuid import UUID

from reengage import settings
from reengage.errors import KeyringError
from reengage.keys import files, identity
from reengage.keys.envelope import Envelope
from reengage.keys.local import LocalService
from reengage.keys.numbered import NumberedKeys
from reengage.keys.remote import remote_service
from reengage.keys.sealing import KEY_BYTES, DataKey, number_of, open_numbered, seal_numbered
from reengage.keys.service import RotatingService, wrapped_to_open

PURPOSES = ("wrap", "pseudonym", "portal", "ledger", "smime", "dkim")
_SUFFIXES = {"ledger": ".pem", "smime": ".pem", "dkim": ".pem"}
_FROM_THE_START = ("pseudonym", "portal")
"""Purposes whose keys are made with the keyring; `wrap` only where its files are the service."""


@dataclass(frozen=True)
class PurposeKey:
    """The keys of a purpose that seals: the newest one does, any opens."""

    keys: NumberedKeys

    def seal(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """Ciphertext under the newest key, whose number it names; opens for `bound_to` only."""
        number = self.keys.newest()
        return seal_numbered(number, self.keys.secret(number), plaintext, self._label(bound_to))

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """The plaintext. Raises KeyringError: altered, moved, or its key was destroyed or lost."""
        return open_numbered(self.keys.secret(number_of(sealed)), sealed, self._label(bound_to))

    def reseal(self, sealed: bytes, *, bound_to: str) -> bytes:
        """The same under the newest key; itself where that sealed it."""
        if number_of(sealed) == self.keys.newest():
            return sealed
        return self.seal(self.open(sealed, bound_to=bound_to), bound_to=bound_to)

    def _label(self, bound_to: str) -> bytes:
        return f"reengage/{self.keys.purpose}/{bound_to}".encode()


@dataclass(frozen=True)
class Keyring:
    """The keys of a practice."""

    directory: Path
    service: RotatingService = field(repr=False, compare=False)
    purposes: Mapping[str, NumberedKeys] = field(repr=False, compare=False)
    _pseudonym: bytes = field(repr=False)

    def pseudonym(self, label: str, value: str) -> str:
        """Keyed HMAC-SHA-256 of `value`, 128 bits as 32 hex digits, distinct per `label`."""
        mac = hmac.digest(self._pseudonym, f"{label}\x00{value}".encode(), "sha256")
        return mac[:16].hex()

    def token(self, label: str, value: str) -> str:
        """Unguessable 160 bit token for a link, base32 lower case, distinct per `label`."""
        mac = hmac.digest(self._pseudonym, f"token/{label}\x00{value}".encode(), "sha256")
        return base64.b32encode(mac[:20]).decode().lower()

    @property
    def pseudonym_key_name(self) -> str:
        """What the key behind the pseudonyms is called in records; says nothing of the key."""
        return f"pseudonym-{self.authenticator('name', b'')[:4].hex()}"

    def authenticator(self, label: str, content: bytes) -> bytes:
        """Keyed HMAC-SHA-256 of `content`, 32 octets: who has no keyring cannot make it."""
        return hmac.digest(self._pseudonym, f"mac/{label}\x00".encode() + content, "sha256")

    def purpose_key(self, purpose: str) -> PurposeKey:
        """What seals and opens for `portal`."""
        if purpose not in _FROM_THE_START[1:]:
            raise KeyringError(f"nothing is sealed for purpose {purpose!r}; use portal")
        return PurposeKey(self.purposes[purpose])

    def create_data_key(self, run_id: UUID) -> DataKey:
        """The run's data key: the one it has, or a new one when it has none."""
        return self._create(self._run_path(run_id))

    def data_key(self, run_id: UUID) -> DataKey:
        """The run's data key. Raises KeyringError when it was destroyed or never made."""
        key = self._open_named(self._run_path(run_id))
        if key is None:
            raise KeyringError(
                f"the data key of run {run_id} is not in the keyring: it was destroyed when the"
                " run ended; clear the whole DAG run from `preflight` on, or trigger a new one"
            )
        return key

    def create_month_key(self, day: date) -> DataKey:
        """The key under which the decisions of the day's month are kept; made on first use."""
        return self._create(self._month_path(day))

    def has_month_key(self, day: date) -> bool:
        """Whether the decisions of the day's month can still be opened."""
        return self._month_path(day).exists()

    def month_key(self, day: date) -> DataKey:
        """The same. Raises KeyringError when it was destroyed or never made."""
        key = self._open_named(self._month_path(day))
        if key is None:
            raise KeyringError(
                f"the key of the decisions of {day:%Y-%m} is not in the keyring: either they were"
                " kept for as long as they had to be, or the keyring came back from a backup that"
                f" lacks it; then restore months/{day:%Y-%m}.key from the newest copy"
            )
        return key

    def destroy_month_key(self, day: date) -> None:
        """Make the decisions of the day's month unreadable, for good."""
        self._destroy(self._month_path(day))

    def has_data_key(self, run_id: UUID) -> bool:
        """Whether the run's batches and letters can still be opened."""
        return self._run_path(run_id).exists()

    def destroy_data_key(self, run_id: UUID) -> None:
        """Make everything sealed for the run unreadable, for good. Repeating it is harmless."""
        self._destroy(self._run_path(run_id))

    def dkim_key(self, selector: str | None = None) -> bytes:
        """The practice's DKIM private key, RSA 2048, PEM (RFC 6376 section 3.3.3).

        The one that was made for this selector, else the one that was made for none. Raises
        KeyringError when its file is missing or others may read it.
        """
        keys = self.purposes["dkim"]
        return keys.secret(identity.dkim_number(keys, selector))

    def smime_identity(self) -> tuple[bytes, bytes] | None:
        """Who signs S/MIME: private key (PKCS#8, PEM) and certificates (PEM, leaf first).

        Of the newest number that has a certificate; None where none has. Raises KeyringError.
        """
        return identity.smime_identity(self.purposes["smime"])

    def smime_certificates(self) -> frozenset[bytes]:
        """DER of the certificates that sign or signed S/MIME and whose keys were not destroyed.

        No key is opened for it. Raises KeyringError as `smime_identity` does.
        """
        return identity.smime_certificates(self.purposes["smime"])

    def _run_path(self, run_id: UUID) -> Path:
        return self.directory / "runs" / f"{run_id}.key"

    def _month_path(self, day: date) -> Path:
        return self.directory / "months" / f"{day:%Y-%m}.key"

    def _create(self, path: Path) -> DataKey:
        if (found := self._open_named(path)) is not None:
            return found
        path.parent.mkdir(mode=0o700, exist_ok=True)  # a key backup may come without it
        # Shared with other makers: whoever destroys the key that wraps must have seen this file.
        with files.locked(self.directory, alone=False):
            key = secrets.token_bytes(KEY_BYTES)
            files.write_new(path, wrapped_to_open(self.service, key, place_of(path)))
            wrapped = path.read_bytes()  # a concurrent maker's, where that was first
        return DataKey(path.stem, self._unwrapped(path, wrapped))

    def _open_named(self, path: Path) -> DataKey | None:
        """The data key that lies at `path`, wrapped and bound to its name; None when none does."""
        if not path.exists():
            return None
        try:
            return DataKey(path.stem, self._unwrapped(path, files.read_private(path)))
        except KeyringError:
            if not path.exists():  # destroyed between two looks
                return None
            raise

    def _unwrapped(self, path: Path, wrapped: bytes) -> bytes:
        try:
            return self.service.unwrap(wrapped, place_of(path))
        except KeyringError as error:
            raise KeyringError(f"key file {path}: {error}") from None

    def _destroy(self, path: Path) -> None:
        # Alone: who re-wraps the file at this moment must not put it back.
        with files.locked(self.directory, alone=True):
            files.destroy(path)


def place_of(path: Path) -> str:
    """What a wrapped data key is bound to: `runs/<id>` or `months/<year>-<month>`."""
    return f"{path.parent.name}/{path.stem}"


def open_keyring(directory: Path, service: str | None = None) -> Keyring:
    """The keyring in `directory`, under the key service of the settings or another one.

    Raises KeyringError naming a missing, short, swapped or exposed file, or the service.
    """
    address = settings.key_service() if service is None else service
    _require_whole(directory, wrapping=not address)
    remote = remote_service(address) if address else None
    purposes = purposes_of(directory, remote)
    pseudonyms = purposes["pseudonym"]
    return Keyring(
        directory,
        remote or LocalService(purposes["wrap"]),
        purposes,
        pseudonyms.secret(pseudonyms.newest()),
    )


def ensure_keyring(directory: Path) -> Keyring:
    """The keyring in `directory`, made on first use: directory 0700, files 0600.

    Made whole or not at all. One that lost a key is refused, never completed: under a new
    pseudonym key the store's opt-outs and letters would no longer be found.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        _make_keyring(directory)
    directory.chmod(0o700)
    return open_keyring(directory)


def purposes_of(directory: Path, service: RotatingService | None) -> dict[str, NumberedKeys]:
    """The folders of a keyring, their files under `service` or, without one, open."""
    return {
        purpose: NumberedKeys(
            directory / purpose,
            Envelope(None if purpose == "wrap" else service),
            _SUFFIXES.get(purpose, ".key"),
        )
        for purpose in PURPOSES
    }


def _make_keyring(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    address = settings.key_service()
    purposes = purposes_of(temporary, remote_service(address) if address else None)
    try:
        (temporary / "runs").mkdir(mode=0o700)
        for purpose in _FROM_THE_START if address else ("wrap", *_FROM_THE_START):
            purposes[purpose].make(secrets.token_bytes(KEY_BYTES))
        pem, public = identity.new_dkim_key()
        purposes["dkim"].make(pem, public=public)
        try:
            temporary.rename(directory)
        except OSError:
            # Onto a directory that is not empty it fails: a concurrent maker was first.
            if not directory.is_dir():
                raise
    finally:
        rmtree(temporary, ignore_errors=True)


def _require_whole(directory: Path, *, wrapping: bool) -> None:
    """Refuse a keyring of an earlier layout, one that others may enter, and one with a gap."""
    if (directory / "pseudonym.key").exists():
        raise KeyringError(
            f"the keyring {directory} is of an earlier version, which had one key per purpose; it"
            " belongs to a store of that version: begin anew with both (`make clean`)"
        )
    if directory.is_dir() and directory.stat().st_mode & 0o077:
        raise KeyringError(
            f"the keyring {directory} may be entered by others; run `chmod 700 {directory}`"
        )
    purposes = purposes_of(directory, None)
    if wrapping and not (directory / "wrap").exists() and (directory / "pseudonym").exists():
        # No key that wraps was ever here: one that lies under a service says so, in its own words.
        purposes["pseudonym"].secret(purposes["pseudonym"].newest())
    for purpose in ("wrap", *_FROM_THE_START) if wrapping else _FROM_THE_START:
        keys = purposes[purpose]
        keys.newest()
        for info in keys.infos():
            if keys.is_lost(info):
                files.read_private(keys.path(info.number))  # tells that it is missing
