"""Read: the hour's work on one kind of place that letters come back to.

Each message is taken in a transaction of its own (take.py) and then removed, or moved to the
staff's folder; who is killed in between finds it known the next time. One that its letter is not
ready for stays where it is. Gives counts; nothing of a message leaves this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from reengage import store as stores
from reengage.errors import ReengageError
from reengage.keys import open_keyring
from reengage.practice import load_practice
from reengage.responses import imap, maildir, spool
from reengage.responses.take import Desk, Source, Taken, item_of, take, take_message
from reengage.settings import Settings


class Item(Protocol):
    """A message in its place."""

    @property
    def content(self) -> bytes:
        """Its octets, as far as they are read."""

    def remove(self) -> None:
        """It is dealt with."""

    def to_staff(self) -> None:
        """It is for people."""


def desk_of(settings: Settings) -> Desk:
    """The desk of these settings. Raises KeyringError, ConfigurationError."""
    keyring = open_keyring(settings.keyring)
    store = stores.connect(settings.store_url)
    with store.begin() as connection:
        stores.require_keyring(connection, keyring)
    return Desk(settings, load_practice(settings.home / "practice.yaml"), keyring, store)


def read_imap(desk: Desk) -> Counter[str]:
    """All mailboxes of the settings; gives how many messages came to what.

    One that fails does not keep the others from being read; its error is raised at the end.
    """
    counts: Counter[str] = Counter()
    settings = desk.settings
    failed: ReengageError | None = None
    for url in settings.returns_imap:
        try:
            with imap.opened(
                url, staff=settings.returns_staff, trust=settings.returns_trust
            ) as messages:
                counts += _read(desk, "imap", messages)
        except ReengageError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return counts


def read_maildir(desk: Desk) -> Counter[str]:
    """The Maildir of the settings, if there is one."""
    directory = desk.settings.returns_maildir
    if directory is None:
        return Counter()
    return _read(desk, "maildir", maildir.messages(directory, desk.settings.returns_staff))


def read_spool(desk: Desk) -> Counter[str]:
    """The vendors' events; one whose signature does not hold is put aside and counted."""
    counts: Counter[str] = Counter()
    directory = desk.settings.returns_spool
    if directory is None:
        return counts
    for event in spool.events(directory, desk.settings.webhook_secrets, desk.now()):
        if not event.vendor:
            event.put_aside()
            counts["refused"] += 1
            continue
        item = item_of(desk.keyring, f"event/{event.vendor}/{event.event_id}".encode())
        if event.found is not None:
            taken = take(desk, "spool", item, event.found, vendor=event.vendor)
            _count(counts, taken)
            if taken.waits:
                continue
        event.remove()
    return counts


READERS: Mapping[Source, Callable[[Desk], Counter[str]]] = {
    "imap": read_imap, "maildir": read_maildir, "spool": read_spool,
}  # fmt: skip
"""What reads each kind of place."""


def read(settings: Settings, source: Source) -> dict[str, int]:
    """The work of one task; gives counts by what messages came to."""
    return dict(sorted(READERS[source](desk_of(settings)).items()))


def _read(desk: Desk, source: Source, items: Iterator[Item]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for item in items:
        taken = take_message(desk, source, item.content)
        _count(counts, taken)
        if taken.waits:
            continue
        if taken.is_staffs:
            item.to_staff()
        else:
            item.remove()
    return counts


def _count(counts: Counter[str], taken: Taken) -> None:
    counts[taken.kind if taken.kind == taken.verdict else f"{taken.kind} {taken.verdict}"] += 1
