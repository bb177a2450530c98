"""Rotation: what a keyring holds, a new key in force, old things under it, an old key destroyed.

Processes that opened the keyring before go on through all of it: they look for the newest key each
time they seal, and for the number that a thing names each time they open. Whatever is broken off
here, by a signal or a power cut, leaves each file as it was or as it is to be; repeating goes on.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reengage.errors import KeyringError
from reengage.keys import files, identity
from reengage.keys.envelope import Envelope
from reengage.keys.info import KeyInfo
from reengage.keys.keyring import PURPOSES, Keyring, place_of, purposes_of
from reengage.keys.local import LocalService
from reengage.keys.remote import remote_service
from reengage.keys.sealing import KEY_BYTES
from reengage.keys.service import KeyService, RotatingService, wrapped_to_open

Told = Callable[[KeyInfo], None]
SETTLING = timedelta(minutes=10)
"""For how long a task may still be committing what it sealed before a rotation."""


@dataclass(frozen=True)
class Listed:
    """One key, as a person is told of it."""

    purpose: str
    number: int
    made: datetime
    state: str
    """`seals` or `signs`; `opens` or `retired`; `waits` (for a certificate, or its selector);
    `destroyed`, `lost`."""
    rests: int | None
    """How many things open with it only; None where nothing is opened with such a key."""
    service: str


def listed(
    keyring: Keyring, resting: Mapping[str, Mapping[int, int]], selector: str | None = None
) -> list[Listed]:
    """Every key that there ever was. `resting`: per purpose, how much rests on each number."""
    found = []
    for purpose in PURPOSES:
        infos = _infos(keyring, purpose)
        used = in_use(keyring, purpose, selector)
        name = keyring.service.name
        found += [
            Listed(
                purpose, info.number, info.made, _state(keyring, info, used),
                resting[purpose].get(info.number, 0) if purpose in resting else None, name,
            )
            for info in infos
        ]  # fmt: skip
    return found


def in_use(keyring: Keyring, purpose: str, selector: str | None = None) -> int | None:
    """Number of the key that seals or signs; None where there is none."""
    keys = keyring.purposes[purpose]
    if purpose == "smime":
        return identity.smime_number(keys)
    infos = _infos(keyring, purpose)
    if purpose == "dkim" and infos:
        return identity.dkim_number(keys, selector)
    return infos[-1].number if infos else None


def rotate(keyring: Keyring, purpose: str, told: Told) -> KeyInfo:
    """A new key of `wrap` or `portal` seals from now on; the old ones open."""
    if purpose == "pseudonym":
        raise KeyringError(
            "the pseudonym key cannot be rotated: under a new one no opt-out, no letter and no"
            " record of a patient would be found again; where it may be known to somebody, treat"
            " every pseudonym as the identifier behind it"
        )
    if purpose == "wrap":
        return keyring.service.rotate(told)
    return keyring.purposes[purpose].make(secrets.token_bytes(KEY_BYTES), told)


def rotate_dkim(keyring: Keyring, selector: str, told: Told) -> KeyInfo:
    """A DKIM key that signs once practice.yaml names its selector; `public` is the DNS record."""
    keys = keyring.purposes["dkim"]
    if any(info.selector == selector and not info.destroyed for info in keys.infos()):
        raise KeyringError(
            f"selector {selector} has its key already; one that letters were signed under must not"
            " change its key while they are on their way: choose another"
        )
    pem, public = identity.new_dkim_key()
    return keys.make(pem, told, selector=selector, public=public)


def resting_on_wrap(keyring: Keyring) -> Counter[int]:
    """How many data keys and, with a service, secret files each number of `wrap` wrapped.

    Under 0 those that this service did not wrap: a keyring that was not brought over whole.
    """
    found = Counter(_made_by(keyring, path) for path in data_keys(keyring.directory))
    for keys in keyring.purposes.values():
        for info in keys.infos():
            if info.destroyed or keys.is_lost(info):
                continue
            content = files.read_private(keys.path(info.number))
            if keys.envelope.service is not None:
                number = keys.envelope.made_by(content, f"{keys.purpose}/{info.stem}")
                found[number or 0] += 1
    return found


def data_keys(directory: Path) -> Iterator[Path]:
    """The wrapped data keys of runs and months."""
    for folder in ("runs", "months"):
        yield from sorted((directory / folder).glob("[0-9a-f]*.key"))


@dataclass(frozen=True)
class Resealed:
    """What a reseal did."""

    data_keys: int
    files: int


def reseal(
    keyring: Keyring,
    came_from: Sequence[RotatingService] = (),
    doomed: Told = lambda info: None,
) -> Resealed:
    """Bring all data keys and secret files under the service's newest key, beside running tasks.

    `came_from`: services that they may still be under. Files that are open are closed where there
    is a service now, and the files that wrapped are destroyed, of which `doomed` hears before.
    `keyring` is as `under` gives it.
    """
    own = LocalService(purposes_of(keyring.directory, None)["wrap"])
    sources: list[KeyService] = [*came_from, keyring.service]
    if own.versions():
        sources.append(own)
    newest = keyring.service.versions()[-1].number
    moved = sum(_rewrapped(keyring, path, sources, newest) for path in data_keys(keyring.directory))
    envelopes = [*map(Envelope, came_from), Envelope(None)]
    closed = 0
    for purpose in PURPOSES[1:]:
        keys = keyring.purposes[purpose]
        closed += keys.reseal([e for e in envelopes if e.service is not keys.envelope.service])
    if not isinstance(keyring.service, LocalService):
        _destroy_own(keyring, own, doomed)
    return Resealed(moved, closed)


def _destroy_own(keyring: Keyring, own: LocalService, doomed: Told) -> None:
    """Under a service: no copy of anything that the keyring's own files wrapped is to open."""
    _require_nothing_left(keyring)  # before it is on record, though it may change until the lock
    for info in own.versions():
        if not info.destroyed:
            doomed(info)
    # Alone: no task makes a data key under them between the count and the end.
    with files.locked(keyring.directory, alone=True):
        _require_nothing_left(keyring)
        for info in own.versions():
            own.destroy(info.number)


def _require_nothing_left(keyring: Keyring) -> None:
    if left := resting_on_wrap(keyring)[0]:
        raise KeyringError(
            f"{left} files came under the keyring's own keys meanwhile: a task still runs without"
            " REENGAGE_KEY_SERVICE; pause the campaigns, then repeat `keys reseal`"
        )


def under(keyring: Keyring, address: str, told: Told = lambda info: None) -> Keyring:
    """The same keyring as it is to be under the key service at `address`; "" = its own files.

    `told` hears of the key that wraps, where it has to be made.
    """
    remote = remote_service(address) if address else None
    purposes = purposes_of(keyring.directory, remote)
    if remote is not None:
        return replace(keyring, service=remote, purposes=purposes)
    own = LocalService(purposes["wrap"])
    own.ensure(told)
    return replace(keyring, service=own, purposes=purposes)


def require_destroyable(
    keyring: Keyring, purpose: str, number: int, resting: int, agreed: int, used: int | None
) -> None:
    """Raises KeyringError: the key seals or signs, is not there, or things rest on it."""
    infos = {info.number: info for info in _infos(keyring, purpose)}
    if number not in infos:
        raise KeyringError(
            f"{purpose} key {number} is not in the keyring; `keys list` tells what is"
        )
    if number in {used, max(infos)}:
        raise KeyringError(
            f"{purpose} key {number} is in use or the newest; rotate first, then destroy it"
        )
    if purpose == "portal" and datetime.now(UTC) < infos[max(infos)].made + SETTLING:
        raise KeyringError(
            f"the newest portal key is younger than {SETTLING.seconds // 60} minutes, and letters"
            " sealed under an older one may be on their way into the database; try again then"
        )
    if resting != agreed:
        raise KeyringError(
            f"{resting} things rest on {purpose} key {number} and would be unreadable for good, and"
            f" {agreed} were agreed to; reseal first, or say --with {resting}"
        )


def destroy(keyring: Keyring, purpose: str, number: int) -> int:
    """Make what only this key opens unreadable; gives how many data keys went with it.

    The caller holds `files.locked(alone=True)` and has called `require_destroyable` within.
    """
    if purpose != "wrap":
        keyring.purposes[purpose].destroy(number)
        return 0
    doomed = [path for path in data_keys(keyring.directory) if _made_by(keyring, path) == number]
    keyring.service.destroy(number)
    for path in doomed:  # they open nothing any more, and nothing may look as if they did
        files.destroy(path)
    return len(doomed)


def _made_by(keyring: Keyring, path: Path) -> int:
    """Number that wrapped a data key; 0 = none of this service's."""
    try:
        return keyring.service.made_by(path.read_bytes())
    except (KeyringError, FileNotFoundError):
        return 0


def _infos(keyring: Keyring, purpose: str) -> list[KeyInfo]:
    if purpose == "wrap":
        return keyring.service.versions()
    return keyring.purposes[purpose].infos()


def _state(keyring: Keyring, info: KeyInfo, used: int | None) -> str:
    if info.destroyed:
        return "destroyed"
    keys = keyring.purposes[info.purpose]
    of_a_service = info.purpose == "wrap" and not isinstance(keyring.service, LocalService)
    if not of_a_service and keys.is_lost(info):
        return "lost"
    if info.number == used:
        return "signs" if info.purpose in {"ledger", "smime", "dkim"} else "seals"
    if info.purpose in {"smime", "dkim"} and info.number > (used or 0):
        return "waits"
    return "opens" if info.purpose in {"wrap", "portal"} else "retired"


def _rewrapped(keyring: Keyring, path: Path, sources: Sequence[KeyService], newest: int) -> bool:
    """Re-wrap one data key under the newest number, unless it is, or is gone meanwhile."""
    try:
        wrapped = files.read_private(path)
    except KeyringError:
        if path.exists():
            raise
        return False
    try:
        owner, key = _unwrapped(wrapped, path, sources)
    except KeyringError:
        if _still_holds(path, wrapped):
            raise
        return False  # what was read is the noise that a task put over it
    if owner is keyring.service and keyring.service.made_by(wrapped) == newest:
        return False
    fresh = wrapped_to_open(keyring.service, key, place_of(path))
    with files.locked(keyring.directory, alone=True):
        if not _still_holds(path, wrapped):
            return False
        files.replace(path, fresh)
    return True


def _still_holds(path: Path, wrapped: bytes) -> bool:
    """False: a task destroyed it since, or destroyed it and made another; then it stays so."""
    try:
        return path.read_bytes() == wrapped
    except FileNotFoundError:
        return False


def _unwrapped(
    wrapped: bytes, path: Path, sources: Sequence[KeyService]
) -> tuple[KeyService, bytes]:
    errors = []
    for source in sources:
        try:
            return source, source.unwrap(wrapped, place_of(path))
        except KeyringError as error:
            errors.append(error)
    raise KeyringError(f"key file {path}: {errors[0]}")
