"""Tell: give an alert to everybody who is to know, once, and never make matters worse.

An alert that was told is a row in the store, so that a retry, thirty chunks and two schedulers say
it once. A store that is away is no reason for silence: it is told then without looking. A channel
that fails hinders no other, and none hinders the task that failed in the first place; where all
fail, the row is taken back, so that the next occasion tells it. What became of it at each channel
is noted for the pages (`listed`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import store
from reengage.alerts import mail, webhook
from reengage.alerts.alert import Alert, Kind
from reengage.errors import ReengageError
from reengage.practice import Practice, load_practice
from reengage.settings import Settings

LOG = logging.getLogger(__name__)


def tell(settings: Settings, alert: Alert) -> int:
    """Tell it, unless it was told; gives the number of channels that took it. Raises nothing."""
    try:
        practice = load_practice(settings.home / "practice.yaml")
        channels = _channels(settings, practice, alert)
        if not channels or not _is_new(settings, alert):
            return 0
        offered = {name: _offered(name, channel) for name, channel in channels}
        taken = sum(why is None for why in offered.values())
        _note(settings, alert, offered)
        if not taken:
            _forget(settings, alert)
    except Exception as error:
        # Whatever it is, the failure that was to be told is the one that matters.
        LOG.warning("an alert was not told: %s", type(error).__name__)
        return 0
    return taken


@dataclass(frozen=True)
class Offered:
    """An alert at one channel. Names of DAGs, tasks and vendors, and codes; nothing of a patient.

    A question's key holds its subject, and with it counts that may be small.
    """

    at: datetime
    kind: Kind
    about: str
    key: str
    channel: str
    taken: bool
    why: str | None
    """Type of the error where it was not taken."""


def listed(connection: Connection, since: datetime | None, most: int) -> list[Offered]:
    """What channels were offered lately, the newest first."""
    found = connection.execute(
        text(
            "SELECT at, kind, about, key, channel, taken, why FROM alert_channel"
            " WHERE CAST(:since AS timestamptz) IS NULL OR at >= :since"
            " ORDER BY at DESC, number DESC LIMIT :most"
        ),
        {"since": since, "most": most},
    )
    return [Offered(*row) for row in found]


def _channels(
    settings: Settings, practice: Practice, alert: Alert
) -> list[tuple[str, Callable[[], object]]]:
    found: list[tuple[str, Callable[[], object]]] = []
    if practice.alerts.email:
        found.append(("e-mail", partial(mail.send, settings, practice, alert)))
    return found + [
        (f"webhook {number}", partial(webhook.post, address, alert))
        for number, address in enumerate(webhook.addresses(settings), start=1)
    ]


def _offered(name: str, channel: Callable[[], object]) -> str | None:
    """Offer it; gives the type of the error where the channel did not take it."""
    try:
        channel()
    except ReengageError as error:
        LOG.warning("%s did not take the alert: %s", name, error)
        return type(error).__name__
    except Exception as error:
        LOG.warning("%s did not take the alert: %s", name, type(error).__name__)
        return type(error).__name__
    return None


def _note(settings: Settings, alert: Alert, offered: Mapping[str, str | None]) -> None:
    try:
        with store.connect(settings.store_url).begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO alert_channel (kind, key, about, channel, taken, why)"
                    " VALUES (:kind, :key, :about, :channel, :taken, :why)"
                ),
                [
                    {"kind": alert.kind, "key": alert.key, "about": alert.about,
                     "channel": name, "taken": why is None, "why": why}
                    for name, why in offered.items()
                ],
            )  # fmt: skip
    except SQLAlchemyError:
        LOG.warning("the pages do not show what became of an alert")


def _is_new(settings: Settings, alert: Alert) -> bool:
    try:
        with store.connect(settings.store_url).begin() as connection:
            return bool(
                connection.execute(
                    text(
                        "INSERT INTO alert (kind, key) VALUES (:kind, :key) ON CONFLICT DO NOTHING"
                    ),
                    {"kind": alert.kind, "key": alert.key},
                ).rowcount
            )
    except SQLAlchemyError:
        return True


def _forget(settings: Settings, alert: Alert) -> None:
    try:
        with store.connect(settings.store_url).begin() as connection:
            connection.execute(
                text("DELETE FROM alert WHERE kind = :kind AND key = :key"),
                {"kind": alert.kind, "key": alert.key},
            )
    except SQLAlchemyError:
        LOG.warning("the store has it that an alert was told, and nobody took it")
