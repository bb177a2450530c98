"""Keys: a keyring of named secrets, and data keys that can be destroyed: a run's, a month's.

Promises: data are sealed with AES-256-GCM under a data key of their run (SEC-14); the data key is
stored only wrapped by the keyring's key-encryption key, in a file of its own beside it and never in
a database, so that removing that one file makes the run's batches and letters unreadable wherever
copies of the database went (WAL, dead rows, backups). What identifies a patient outside the vault
is a keyed HMAC, never a plain digest (LOG-09, PRV-26). Nonces are drawn here, associated data are
mandatory, and `repr` shows names only.

Format of a sealed value: version byte 0x01, 12 bytes nonce, ciphertext with its 16 byte tag
(NIST SP 800-38D). A data key seals fewer than 2**32 values, the bound for random nonces.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reengage.errors import KeyringError

VERSION = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32
_PURPOSES = ("wrap", "pseudonym")


@dataclass(frozen=True)
class DataKey:
    """The key of a run, or of a month of decisions. Seals and opens; never leaves the process."""

    name: str
    _key: bytes = field(repr=False)

    @property
    def run_id(self) -> UUID:
        """The run that it is the key of."""
        return UUID(self.name)

    def seal(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """Ciphertext of `plaintext`, which only opens for the same key's name and `bound_to`."""
        return _seal(self._key, plaintext, self._label(bound_to))

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """The plaintext. Raises KeyringError when altered, moved, or sealed under another key."""
        return _open(self._key, sealed, self._label(bound_to))

    def _label(self, bound_to: str) -> bytes:
        return f"reengage/{self.name}/{bound_to}".encode()


@dataclass(frozen=True)
class Keyring:
    """The keys of a practice, read from a directory that only its owner may enter."""

    directory: Path
    _wrap: bytes = field(repr=False)
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
        _destroy(self._month_path(day))

    def has_data_key(self, run_id: UUID) -> bool:
        """Whether the run's batches and letters can still be opened."""
        return self._run_path(run_id).exists()

    def destroy_data_key(self, run_id: UUID) -> None:
        """Make everything sealed for the run unreadable, for good. Repeating it is harmless."""
        _destroy(self._run_path(run_id))

    def dkim_key(self) -> bytes:
        """The practice's DKIM private key, RSA 2048, PEM (RFC 6376 section 3.3.3).

        Raises KeyringError when the file is missing or others may read it.
        """
        return read_private(self.directory / "dkim.pem")

    def _run_path(self, run_id: UUID) -> Path:
        return self.directory / "runs" / f"{run_id}.key"

    def _month_path(self, day: date) -> Path:
        return self.directory / "months" / f"{day:%Y-%m}.key"

    def _create(self, path: Path) -> DataKey:
        if (found := self._open_named(path)) is not None:
            return found
        path.parent.mkdir(mode=0o700, exist_ok=True)  # a key backup may come without it
        write_new(path, _seal(self._wrap, secrets.token_bytes(KEY_BYTES), path.stem.encode()))
        return DataKey(path.stem, _open(self._wrap, path.read_bytes(), path.stem.encode()))

    def _open_named(self, path: Path) -> DataKey | None:
        """The data key that lies at `path`, wrapped and bound to its name; None when none does."""
        try:
            wrapped = path.read_bytes()
        except FileNotFoundError:
            return None
        return DataKey(path.stem, _open(self._wrap, wrapped, path.stem.encode()))


def open_keyring(directory: Path) -> Keyring:
    """The keyring in `directory`. Raises KeyringError naming a missing, short or exposed file."""
    found = {purpose: _read_key(directory / f"{purpose}.key") for purpose in _PURPOSES}
    return Keyring(directory, _wrap=found["wrap"], _pseudonym=found["pseudonym"])


def ensure_keyring(directory: Path) -> Keyring:
    """The keyring in `directory`, made on first use: directory 0700, files 0600.

    Made whole or not at all. One that lost a key is refused, never completed: under a new
    pseudonym key the store's opt-outs and letters would no longer be found.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        _make_keyring(directory)
    directory.chmod(0o700)
    return open_keyring(directory)


def digest(content: bytes) -> str:
    """SHA-256 in hex, of things that are not guessable personal data (templates, sealed parts)."""
    return sha256(content).hexdigest()


def _make_keyring(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = Path(mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        (temporary / "runs").mkdir(mode=0o700)
        for purpose in _PURPOSES:
            write_new(temporary / f"{purpose}.key", secrets.token_bytes(KEY_BYTES))
        write_new(temporary / "dkim.pem", _new_dkim_key())
        # Onto a directory that is not empty it fails: a concurrent maker was first.
        with suppress(OSError):
            temporary.rename(directory)
    finally:
        rmtree(temporary, ignore_errors=True)


def read_private(path: Path) -> bytes:
    """A key file's content. Raises KeyringError when it is missing or others may read it."""
    try:
        mode = path.stat().st_mode & 0o077
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyringError(
            f"key file {path} is missing; restore it from the key backup (a new one cannot open"
            " what the old one sealed)"
        ) from None
    except OSError as error:
        raise KeyringError(
            f"key file {path} cannot be read ({error.strerror}); give it to the user that runs this"
        ) from None
    if mode:
        raise KeyringError(f"key file {path} is readable by others; run `chmod 600 {path}`")
    return content


def _read_key(path: Path) -> bytes:
    key = read_private(path)
    if len(key) != KEY_BYTES:
        raise KeyringError(
            f"key file {path} holds {len(key)} bytes, expected {KEY_BYTES}; restore it"
            " from the key backup"
        )
    return key


def _new_dkim_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _seal(key: bytes, plaintext: bytes, label: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, VERSION + label)


def _open(key: bytes, sealed: bytes, label: bytes) -> bytes:
    nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        if sealed[:1] != VERSION:
            raise InvalidTag
        return AESGCM(key).decrypt(nonce, ciphertext, VERSION + label)
    except (InvalidTag, ValueError):
        # One message for old, moved, truncated and forged alike: no oracle.
        raise KeyringError(
            "a sealed value does not open: altered, moved to another place, or sealed"
            " under another key; restore it or run the campaign again"
        ) from None


def write_new(path: Path, content: bytes) -> None:
    """Create `path` whole or not at all, 0600; a concurrent creator wins silently."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    _sync_directory(path.parent)


def _destroy(path: Path) -> None:
    """Remove a key file so that nothing of it is left, as far as the medium allows."""
    doomed = path.with_suffix(".destroyed")
    # Renamed first: one that dies half-way leaves no noise where a key is looked for.
    with suppress(FileNotFoundError):
        path.rename(doomed)
    # Overwritten before it is unlinked: cheap, though no promise on flash media.
    with suppress(FileNotFoundError), doomed.open("r+b") as file:
        file.write(secrets.token_bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())
    doomed.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Let a name that was made or removed survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
