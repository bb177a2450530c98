"""Desk: what the portal's process works with, opened once: store, keyring, practice, clock.

The store is spoken to as a role that sees the portal's tables only (0008_portal.sql). Every method
of the modules that use this is one transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from reengage import store
from reengage.campaigns import load_campaigns
from reengage.errors import ConfigurationError, KeyringError
from reengage.keys import Keyring, open_keyring
from reengage.practice import Practice, load_practice
from reengage.settings import PortalSettings
from reengage.sql import load_sql

CONNECTIONS = 16
"""To the store, at most; requests beyond wait their turn."""


@dataclass(frozen=True)
class Choice:
    """A campaign that patients may leave: its slug, purpose and name by language."""

    slug: str
    purpose: str
    names: dict[str, str]


@dataclass(frozen=True)
class Desk:
    """What a request is answered with."""

    settings: PortalSettings
    practice: Practice
    campaigns: tuple[Choice, ...]
    keyring: Keyring = field(repr=False)
    engine: Engine = field(repr=False)

    def sql(self, name: str) -> str:
        """The question in sql/portal/."""
        return _question(self.settings.home, name)

    @property
    def offers_another_address(self) -> bool:
        """Whether there is a vendor to send the confirmation through."""
        return self.practice.portal is not None and self.practice.portal.vendor is not None


@lru_cache(maxsize=64)
def _question(home: Path, name: str) -> str:
    return load_sql(home, f"portal/{name}.sql")


def open_desk(settings: PortalSettings) -> Desk:
    """Open everything, or say what is missing.

    Raises ConfigurationError or KeyringError: a keyring that is not the store's own would know no
    link and no answer.
    """
    keyring = open_keyring(settings.keyring)
    engine = store.connect(settings.store_url, connections=CONNECTIONS)
    sound, _ = load_campaigns(settings.home)
    desk = Desk(
        settings,
        load_practice(settings.home / "practice.yaml"),
        tuple(
            Choice(one.slug, one.purpose, {"en": one.title, "es": one.title_es or one.title})
            for one in sound
        ),
        keyring,
        engine,
    )
    with engine.connect() as connection:
        _require_own(connection, keyring)
    _require_served(desk.practice)
    return desk


def new_token() -> tuple[str, bytes]:
    """256 random bits for a page's memory, and the digest that the store knows them by."""
    token = secrets.token_urlsafe(32)
    return token, token_digest(token)


def token_digest(token: str) -> bytes:
    """What the store knows of a token. Not keyed: nobody guesses 160 bits or more."""
    return hashlib.sha256(token.encode()).digest()


def _require_own(connection: Connection, keyring: Keyring) -> None:
    mark = connection.execute(text("SELECT mark FROM keyring")).scalar_one_or_none()
    if mark != keyring.pseudonym("store", "mark"):
        raise KeyringError(
            "the store was written with another keyring, or with none yet; give the portal the one"
            " that the campaigns run with (REENGAGE_KEYRING), after their first run"
        )


def _require_served(practice: Practice) -> None:
    """Links that were sent must lead to pages that are there."""
    if not practice.opt_out_url.endswith("/opt-out/"):
        raise ConfigurationError(
            "practice.yaml: opt_out_url does not end in /opt-out/, where this service answers;"
            " mend it, or have your server lead it there"
        )
