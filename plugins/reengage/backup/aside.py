"""Aside: the one current copy of keyring, journals and checkpoints, away from the store's dumps.

Dumps are a history; this is a mirror, since a copy of a destroyed key undoes its destruction: what
was destroyed in the keyring is destroyed in the copy by the next backup. The data keys of runs are
never copied: whatever was open when the store was lost is not sent again (`recalled`), so that
they could serve nothing but to undo shred.

What only grows is held against its copy: a journal that lost lines, a key that is missing and was
not destroyed, another checkpoint of a size are told, and the better copy is left as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from reengage.errors import BackupError, KeyringError
from reengage.keys import Keyring, open_keyring
from reengage.keys import files as key_files
from reengage.keys.keyring import PURPOSES
from reengage.ledger.checkpoints import Checkpoints, size_of

KEYRING, JOURNALS, CHECKPOINTS = "keyring", "journals", "checkpoints"
MONTHS = "months"
PIECE = 1 << 20


@dataclass(frozen=True)
class Copied:
    """What the copy holds now."""

    keys: int
    destroyed: int
    """Files of keys that were destroyed since the last time."""
    journals: int
    """Octets."""
    checkpoints: int


def copy_aside(
    keyring: Keyring,
    into: Path,
    *,
    journals: Sequence[Path],
    checkpoints: Checkpoints,
    months: Sequence[date],
) -> Copied:
    """Bring the copy up to date; `months` are those of which the store has decisions.

    Raises BackupError, KeyringError or LedgerError where something was lost, before anything of the
    copy is touched.
    """
    _require_same(keyring, into / KEYRING)
    _require_whole(keyring, into / KEYRING, months)
    for journal in journals:
        _require_grown(journal, into / JOURNALS / journal.name)
    for directory in (into, into / KEYRING, into / JOURNALS):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    with key_files.locked(keyring.directory, alone=False):  # nobody replaces or destroys meanwhile
        names = _key_files(keyring.directory)
        for name in names:
            _put(into / KEYRING / name, (keyring.directory / name).read_bytes())
    gone = set(_key_files(into / KEYRING)) - set(names)
    for name in gone:
        key_files.destroy(into / KEYRING / name)
    octets = sum(_grow(one, into / JOURNALS / one.name) for one in journals if one.exists())
    copies = Checkpoints(str(into / CHECKPOINTS))
    notes = [(size_of(name), note) for name, note in checkpoints.all()]
    for size, note in notes:
        if size is not None:
            copies.put(size, note)
    return Copied(len(names), len(gone), octets, len(notes))


@dataclass(frozen=True)
class Back:
    """What stands in its place now."""

    keyring: Keyring
    ended: tuple[Path, ...]
    """Journals that have nothing beyond the copy, because nothing was said or because it was lost:
    the same at every try of a restore.
    """


def bring_back(place: Path, keyring: Path, journals: Sequence[Path], checkpoints: str) -> Back:
    """The keyring, which is made of the copy where there is none; so each journal and checkpoint.

    Nothing that is there is overwritten. Raises BackupError where the copy lacks what is needed, or
    has more of a journal than the one that is there: what patients said would be forgotten.
    """
    for journal in journals:
        _require_no_less(journal, place / JOURNALS / journal.name)
    if not keyring.is_dir() or not any(keyring.iterdir()):
        if not (place / KEYRING).is_dir():
            raise BackupError(
                f"there is no keyring in {keyring}, and no copy of it in {place}; say with"
                " --keys where its copy lies"
            )
        _copy_keyring(place / KEYRING, keyring)
    found = open_keyring(keyring)
    ended = []
    for journal in journals:
        copy = place / JOURNALS / journal.name
        if copy.is_file() and not journal.exists():
            _put(journal, copy.read_bytes())
        if _size(journal) <= _size(copy):
            ended.append(journal)
    # Also beside older ones: the newest of all tells what the restored ledger falls short of.
    there = Checkpoints(checkpoints)
    known = {name for name, _ in there.all()}
    if (place / CHECKPOINTS).is_dir():
        for name, note in Checkpoints(str(place / CHECKPOINTS)).all():
            if name not in known and (size := size_of(name)) is not None:
                there.put(size, note)
    return Back(found, tuple(ended))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_no_less(journal: Path, copy: Path) -> None:
    """A journal that is there goes on from the copy of it; one from an older disk does not."""
    if not copy.is_file() or not journal.exists():
        return
    if not (journal.stat().st_size >= copy.stat().st_size and _begins_with(journal, copy)):
        raise BackupError(
            f"the journal {journal} does not go on from what {copy} has of it, as on a disk that is"
            " itself from a backup: what patients said in between would be forgotten. Move it away,"
            " and the copy is taken; where it has lines of its own, join the two first"
        )


def _copy_keyring(copy: Path, keyring: Path) -> None:
    """Whole or not at all: one that was broken off is no keyring."""
    fresh = keyring.with_name(f".{keyring.name}.restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    for name in _key_files(copy):
        _put(fresh / name, (copy / name).read_bytes())
    (fresh / "runs").mkdir(mode=0o700)
    if keyring.is_dir():
        keyring.rmdir()  # empty
    fresh.rename(keyring)


def _key_files(directory: Path) -> list[str]:
    """Names of what a keyring holds of keys, without those of runs."""
    found = []
    for folder in (*PURPOSES, MONTHS):
        for path in sorted((directory / folder).glob("[0-9]*")):
            if path.is_file() and path.suffix != ".destroyed":
                found.append(f"{folder}/{path.name}")
    return found


def _require_same(keyring: Keyring, copy: Path) -> None:
    """The copy of another keyring, which perhaps nothing else has, is not written over."""
    if not any(copy.glob("pseudonym/[0-9]*.key")):
        return
    try:
        same = open_keyring(copy).pseudonym("store", "mark") == keyring.pseudonym("store", "mark")
    except KeyringError as error:
        raise BackupError(
            f"{copy} has keys that cannot be compared with the keyring's ({error}); nothing was"
            " copied: mend that, or name another place with --keys"
        ) from None
    if not same:
        raise BackupError(
            f"{copy} is the copy of another keyring, and older dumps may need it; nothing was"
            " copied: name another place with --keys"
        )


def _require_whole(keyring: Keyring, copy: Path, months: Sequence[date]) -> None:
    """A key that is missing and was not destroyed is perhaps in the copy only."""
    for purpose, keys in keyring.purposes.items():
        for info in keys.infos():
            if keys.is_lost(info):
                raise KeyringError(
                    f"{purpose} key {info.number} is missing and was not destroyed; restore it"
                    f" from {copy / purpose} before the copy is brought up to date"
                )
    for month in months:
        if (copy / MONTHS / f"{month:%Y-%m}.key").exists() and not keyring.has_month_key(month):
            raise KeyringError(
                f"the key of the decisions of {month:%Y-%m} is missing, and the store still has"
                f" them; restore it from {copy / MONTHS} before the copy is brought up to date"
            )


def _require_grown(journal: Path, copy: Path) -> None:
    """A journal is only ever added to, so that its copy is how it begins."""
    if not copy.is_file() or not copy.stat().st_size:
        return
    if not journal.exists() or not _begins_with(journal, copy):
        raise BackupError(
            f"the journal {journal} does not begin with what {copy} has of it: it was lost, cut off"
            " or replaced; nothing was copied: restore it from there, or join the two"
        )


def _begins_with(longer: Path, shorter: Path) -> bool:
    with longer.open("rb") as one, shorter.open("rb") as other:
        return all(one.read(len(piece)) == piece for piece in _pieces(other))


def _pieces(file: object) -> Iterator[bytes]:
    read = file.read  # type: ignore[attr-defined]
    while piece := read(PIECE):
        yield piece


def _grow(journal: Path, copy: Path) -> int:
    """Whole lines only: one that was cut short was confirmed to nobody."""
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    _put(copy, whole)
    return len(whole)


def _put(path: Path, content: bytes) -> None:
    """In one step, private, on the disk; left alone where it is the same."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        key_files.replace(path, content)
    else:
        key_files.write_new(path, content)
