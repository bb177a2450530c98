"""The keys at the command line: list them, make new ones, bring old things under them, destroy.

Each change of a key is in the ledger as a change of configuration named `key/<purpose>/<number>`
(SEC-16): a new key and its record commit together, a destruction is recorded before it happens.
Nothing here shows a secret.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, text

from reengage import settings, store
from reengage.cli import places, portal_rows
from reengage.cli.actor import actor
from reengage.errors import ConfigurationError, KeyringError
from reengage.keys import Keyring, digest, ensure_keyring, open_keyring, rotation
from reengage.keys.files import locked
from reengage.keys.identity import new_smime_key
from reengage.keys.info import KeyInfo
from reengage.keys.remote import remote_service
from reengage.ledger import records, signers
from reengage.ledger.append import append
from reengage.practice import load_practice

_FILES = "the keyring's files"


def make(options: Namespace, home: Path) -> int:
    """Make the keyring where there is none; one that is there is looked at and left alone."""
    directory = places.keyring(home)
    there = directory.is_dir() and any(directory.iterdir())
    ensure_keyring(directory)
    print(f"the keyring {'was there already' if there else 'was made'}: {directory}")
    return 0


def list_(options: Namespace, home: Path) -> int:
    """Every key that there ever was: number, day, state, and how much rests on it."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.connect() as connection:
        resting = _resting(connection, keyring)
    table = Table(box=None, header_style="")
    for heading in ("purpose", "number", "made", "state", "rests", "kept by"):
        table.add_column(heading, justify="right" if heading in {"number", "rests"} else "left")
    for one in rotation.listed(keyring, resting, _selector(home)):
        rests = "" if one.rests is None else f"{one.rests:,}"
        table.add_row(
            one.purpose, str(one.number), f"{one.made:%Y-%m-%d}", one.state, rests, one.service
        )
    Console().print(table)
    if left := resting["wrap"].get(0):
        print(f"{left:,} files are not under this key service; `keys reseal` brings them there")
    return 0


def rotate(options: Namespace, home: Path) -> int:
    """Make a new key; what the old ones sealed still opens, what they signed still verifies."""
    actor()  # before a file of it lies there
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)

        def told(info: KeyInfo) -> None:
            _refuse_a_known_number(connection, info, keyring.service.name)
            _record(connection, keyring, info, "rotated", keyring.service.name)

        info = _rotated(options, home, connection, keyring, told)
    _tell(keyring, info)
    return 0


def reseal(options: Namespace, home: Path) -> int:
    """Bring data keys, secret files and letters of the portal under the newest keys.

    Status 1 where letters did not open; all others are then brought over nevertheless.
    """
    address = settings.key_service() or ""
    came_from = [_address(options.came_from)] if options.came_from is not None else []
    keyring = _opened_by_one_of(places.keyring(home), [address, *came_from])
    with places.store(home) as engine:

        def doomed(info: KeyInfo) -> None:
            with engine.begin() as connection:
                _record(connection, keyring, info, "destroyed", _FILES)

        with engine.begin() as connection:
            store.require_keyring(connection, keyring)
            there = rotation.under(
                keyring, address, lambda info: _record(connection, keyring, info, "rotated", _FILES)
            )
            for purpose in ("wrap", "portal"):
                newest = _infos(there, purpose)[-1]
                _record(connection, keyring, newest, "resealed", there.service.name)
        done = rotation.reseal(there, [remote_service(one) for one in came_from if one], doomed)
        rows, closed = portal_rows.reseal(engine, there)
    print(
        f"brought under the newest keys: {done.data_keys:,} data keys, {done.files:,} secret files,"
        f" {rows:,} letters of the portal"
    )
    for number, letters in sorted(closed.items()):
        print(
            f"{letters:,} letters of the portal under key {number} do not open and stay as they"
            " are: the key was destroyed or lost, or they were altered; restore them, or say"
            f" `keys destroy portal {number} --with N`, N as `keys list` tells it"
        )
    return 1 if closed else 0


def destroy(options: Namespace, home: Path) -> int:
    """Make what only one old key opens unreadable, for good; on record before it happens.

    The portal's rows go with their key, or, when their number is not the one that was agreed to,
    neither does.
    """
    keyring = open_keyring(places.keyring(home))
    purpose, number = options.purpose, options.number
    used = rotation.in_use(keyring, purpose, _selector(home))
    with places.store(home) as engine, engine.connect() as connection:
        store.require_keyring(connection, keyring)
        info = _info(keyring, purpose, number)
        _record(connection, keyring, info, "destroyed", keyring.service.name)
        rests = portal_rows.delete(connection, number) if purpose == "portal" else 0
        # Alone: no data key is made under this number between the count and the end.
        with locked(keyring.directory, alone=True):
            if purpose == "wrap":
                rests = rotation.resting_on_wrap(keyring)[number]
            rotation.require_destroyable(keyring, purpose, number, rests, options.agreed, used)
            connection.commit()
            gone = rotation.destroy(keyring, purpose, number)
    print(f"{purpose} key {number} is destroyed, and {max(gone, rests):,} things with it")
    return 0


def _rotated(
    options: Namespace, home: Path, connection: Connection, keyring: Keyring, told: rotation.Told
) -> KeyInfo:
    if options.purpose == "ledger":
        origin = connection.execute(text("SELECT origin FROM ledger_head")).scalar_one()
        return signers.rotate_signer(keyring, origin, told)
    if options.purpose == "dkim":
        if not options.selector:
            raise ConfigurationError(
                "a DKIM key belongs to a name in the DNS; say --selector NAME, another than"
                f" {_selector(home)!r}, under which letters on their way were signed"
            )
        return rotation.rotate_dkim(keyring, options.selector, told)
    if options.purpose == "smime":
        practice = load_practice(home / "practice.yaml")
        keys = keyring.purposes["smime"]
        return new_smime_key(keys, told, name=practice.name, email=practice.from_address)
    return rotation.rotate(keyring, options.purpose, told)


def _tell(keyring: Keyring, info: KeyInfo) -> None:
    path = keyring.purposes[info.purpose].path(info.number)
    if info.purpose == "ledger":
        print("a new key signs from now on; give its verifier key to whoever verifies:")
        print(info.public)
    elif info.purpose == "dkim":
        print(f"publish in the DNS as {info.selector}._domainkey.<your domain>, wait for it, then")
        print(f"name selector {info.selector} in practice.yaml; until then the old key signs:")
        print(info.public)
    elif info.purpose == "smime":
        print(f"have a certificate issued for {path.with_suffix('.csr')} and put it, followed by")
        print(f"those above it, at {path.with_suffix('.crt')}; from then on this key signs")
    else:
        print(f"{info.purpose} key {info.number} seals from now on; older ones open")
        print("`keys reseal` brings what rests on them under it")


def _resting(connection: Connection, keyring: Keyring) -> dict[str, Mapping[int, int]]:
    """Purpose -> number -> how many things open with that key only."""
    return {"wrap": rotation.resting_on_wrap(keyring), "portal": portal_rows.by_number(connection)}


def _record(
    connection: Connection, keyring: Keyring, info: KeyInfo, action: str, kept_by: str
) -> None:
    told = digest((info.public or info.text).encode())
    name = f"key/{info.purpose}/{info.number}"
    append(
        connection,
        keyring,
        [
            records.configuration(
                name=name,
                sha256=None if action == "destroyed" else told,
                previous=None if action == "rotated" else told,
                changed_by={
                    "source": "command",
                    "actor": actor(),
                    "action": action,
                    "kept_by": kept_by,
                },
            )
        ],
    )


def _refuse_a_known_number(connection: Connection, info: KeyInfo, kept_by: str) -> None:
    """A number that the ledger knows was another key: the keyring is older than the ledger."""
    known = connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM ledger_entry"
            " WHERE kind = 'configuration' AND subject = :name"
            " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,changed_by,kept_by}' = :kept_by)"
        ),
        {"name": f"key/{info.purpose}/{info.number}", "kept_by": kept_by},
    ).scalar_one()
    if known and info.check:
        raise KeyringError(
            f"the ledger knows a {info.purpose} key {info.number} that this keyring lacks: it came"
            " back from a backup of before that key was made; restore the newest one"
        )


def _info(keyring: Keyring, purpose: str, number: int) -> KeyInfo:
    for info in _infos(keyring, purpose):
        if info.number == number:
            return info
    raise KeyringError(f"{purpose} key {number} is not in the keyring; `keys list` tells what is")


def _infos(keyring: Keyring, purpose: str) -> list[KeyInfo]:
    return keyring.service.versions() if purpose == "wrap" else keyring.purposes[purpose].infos()


def _opened_by_one_of(directory: Path, addresses: list[str]) -> Keyring:
    """The keyring, in the middle of going from one service to another. Raises KeyringError."""
    errors = []
    for address in dict.fromkeys([*addresses, ""]):
        try:
            return open_keyring(directory, address)
        except KeyringError as error:
            errors.append(error)
    raise errors[0]


def _address(given: str) -> str:
    """An address as --from has it; `files` are the keyring's own."""
    if given == "files":
        return ""
    return settings.key_service({f"{settings.PREFIX}KEY_SERVICE": given}) or ""


def _selector(home: Path) -> str | None:
    try:
        return load_practice(home / "practice.yaml").dkim.selector
    except ConfigurationError:
        return None  # whoever looks after keys need not mend the practice's file first
