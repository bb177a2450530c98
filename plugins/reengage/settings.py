"""Settings: one frozen value, read once per task from the environment.

Every setting is an environment variable `REENGAGE_<NAME>`; there is no second source and no switch
that weakens security. A missing, malformed or misspelt one is a ConfigurationError naming it. Where
a deployment keeps secrets elsewhere, Airflow's own secrets back end exports them to the worker.

The clock: a practice's "now" is the machine's. Only the embedded default may pin it (`AS_OF`), so
that a past export can be replayed as if it were that day; `Settings.now` says which it is, and
preflight refuses a pinned clock for any vendor whose relay is not on this machine.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reengage.addresses import is_key_service, is_mirror
from reengage.errors import ConfigurationError

PREFIX = "REENGAGE_"
NAMES = (
    "HOME", "WAREHOUSE_URL", "STORE_URL", "KEYRING", "RELAY_TRUST", "REHEARSAL_MAILDIR",
    "VENDORS_FILE", "PINNED_NOW", "JOURNAL", "CHECKPOINTS", "MIRROR_URL", "MIRROR_TOKEN", "ACTOR",
    "ARCHIVE", "AIRFLOW_URL", "SMIME_TRUST", "KEY_SERVICE", "ALERT_WEBHOOKS",
    "RETURNS_IMAP", "RETURNS_MAILDIR", "RETURNS_SPOOL", "RETURNS_STAFF", "RETURNS_TRUST",
    "SERVICES_TRUST", "ACTOR_REQUIRED",
)  # fmt: skip
"""Every setting but RELAY_URL_<VENDOR> and WEBHOOK_SECRET_<VENDOR>."""
OF_VENDORS = ("RELAY_URL_", "WEBHOOK_SECRET_")
"""How settings begin that each vendor has."""
JOURNAL = "refusals.jsonl"
"""Name of the journal of refusals in the keyring's directory."""
SUPPRESSIONS = "suppressions.jsonl"
"""Name of the journal of suppressions, beside that of refusals."""
CHECKPOINTS = "checkpoints"
"""Name of the directory of signed checkpoints in the keyring's directory."""
HOME = Path(os.environ.get(PREFIX + "HOME") or Path(__file__).parents[2]).resolve()
"""Root of the project: REENGAGE_HOME, else the checkout that this file lies in."""


@dataclass(frozen=True)
class Settings:
    """Where things are. URLs may hold passwords, hence no repr of their values."""

    home: Path
    """Root of the project, with campaigns/, sql/, templates/; absent = the library's checkout."""
    warehouse_url: str = field(repr=False)
    """SQLAlchemy URL of the warehouse, with a role that may only read the contract."""
    store_url: str = field(repr=False)
    """SQLAlchemy URL of our own store: runs, sealed batches, outbox."""
    keyring: Path
    """Directory of the keys; never below the root, never in a database."""
    relays: Mapping[str, str] = field(repr=False)
    """Relay of each vendor (`smtp://` with STARTTLS, `smtps://`); absent = its runs are refused."""
    relay_trust: Path | None = None
    """Extra certificate authority to trust for relays; None = the system's."""
    rehearsal_maildir: Path | None = None
    """Where a dry run leaves its letters instead of opening a connection; None = nowhere."""
    vendors_file: Path | None = None
    """Vendor registry; None = `vendors.yaml` at the root."""
    pinned_now: datetime | None = None
    """The embedded default's pinned clock; None = the machine's clock."""
    journal: Path | None = None
    """File of all refusals, best on another disk than the store's; None = in the keyring."""
    checkpoints: str | None = None
    """Where signed checkpoints go, any fsspec URL (LOG-08); None = in the keyring."""
    mirror_url: str | None = field(default=None, repr=False)
    """OpenLineage backend that is told the ledger's run events; None = there is no mirror."""
    mirror_token: str | None = field(default=None, repr=False)
    """Bearer token for it; None = it wants none."""
    archive: str | None = field(default=None, repr=False)
    """Where the ledger is copied to, any fsspec URL; None = nowhere."""
    airflow_url: str | None = field(default=None, repr=False)
    """Airflow's address with the audit's account; None = the audit fails, saying so."""
    smime_trust: Path | None = None
    """Directory of the authorities that patients' certificates may come from, and of what they
    revoked; None = none is trusted."""
    key_service: str | None = None
    """What wraps the keys, `vault+https://…` or `aws-kms:…`; None = the keyring's own files."""
    returns_imap: tuple[str, ...] = field(default=(), repr=False)
    """Mailboxes that letters come back to, `imaps://user:password@host/INBOX …`; absent = none."""
    returns_maildir: Path | None = None
    """The same as a Maildir; None = none is read."""
    returns_spool: Path | None = None
    """Directory of signed events that vendors sent (docs/responses.md); None = none are read."""
    returns_staff: str = "Staff"
    """Folder of those mailboxes into which people's messages are moved; absent = `Staff`."""
    returns_trust: Path | None = None
    """Extra certificate authority to trust for them; None = the system's."""
    webhook_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secret under which each vendor signs its events, `whsec_…`; absent = none count."""
    alert_webhooks: tuple[str, ...] = field(default=(), repr=False)
    """Addresses that alerts are posted to, spaces between; absent = alerts go by e-mail only."""
    actor: str | None = None
    """Whom access records name (SEC-15); None = the operating system's user."""
    actor_required: bool = False
    """`true` where all people are one user of the system, as in containers: what goes on record is
    refused without REENGAGE_ACTOR; absent = that user names the person."""
    services_trust: Path | None = None
    """Authorities of the connections between the services of this installation: staff are told
    before the newest ends; None = nobody is told."""

    def now(self) -> datetime:
        """The practice's present instant, aware, UTC."""
        return self.pinned_now or datetime.now(UTC)

    @property
    def vendors_path(self) -> Path:
        """The vendor registry in force."""
        return self.vendors_file or self.home / "vendors.yaml"

    @property
    def journal_path(self) -> Path:
        """The journal of refusals in force; who backs up the keyring has it, too."""
        return self.journal or self.keyring / JOURNAL

    @property
    def suppressions_path(self) -> Path:
        """The journal of suppressions, beside that of refusals."""
        return self.journal_path.with_name(SUPPRESSIONS)

    @property
    def checkpoints_location(self) -> str:
        """Where signed checkpoints lie."""
        return self.checkpoints or str(self.keyring / CHECKPOINTS)


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment. Raises ConfigurationError naming the variable at fault."""
    env = os.environ if environ is None else environ
    _refuse_misspelt(env)
    home = Path(env.get(PREFIX + "HOME") or HOME).resolve()
    return Settings(
        home=home,
        warehouse_url=_required(env, "WAREHOUSE_URL"),
        store_url=_required(env, "STORE_URL"),
        keyring=_keyring(env, home),
        relays=_by_vendor(env, "RELAY_URL_"),
        relay_trust=_path(env, "RELAY_TRUST"),
        rehearsal_maildir=_path(env, "REHEARSAL_MAILDIR"),
        vendors_file=_path(env, "VENDORS_FILE"),
        pinned_now=pinned_instant(env),
        journal=_journal(env),
        checkpoints=env.get(PREFIX + "CHECKPOINTS") or None,
        mirror_url=mirror_url(env),
        mirror_token=mirror_token(env),
        archive=env.get(PREFIX + "ARCHIVE") or None,
        airflow_url=env.get(PREFIX + "AIRFLOW_URL") or None,
        smime_trust=_path(env, "SMIME_TRUST"),
        key_service=key_service(env),
        returns_imap=tuple(env.get(PREFIX + "RETURNS_IMAP", "").split()),
        returns_maildir=_path(env, "RETURNS_MAILDIR"),
        returns_spool=_path(env, "RETURNS_SPOOL"),
        returns_staff=env.get(PREFIX + "RETURNS_STAFF") or "Staff",
        returns_trust=_path(env, "RETURNS_TRUST"),
        webhook_secrets=_by_vendor(env, "WEBHOOK_SECRET_"),
        alert_webhooks=tuple(env.get(PREFIX + "ALERT_WEBHOOKS", "").split()),
        actor=env.get(PREFIX + "ACTOR") or None,
        actor_required=actor_required(env),
        services_trust=_path(env, "SERVICES_TRUST"),
    )


@dataclass(frozen=True)
class PortalSettings:
    """What the process that faces patients may know: no warehouse, no relay, no Airflow."""

    home: Path
    store_url: str = field(repr=False)
    """The store, with the portal's own role."""
    keyring: Path
    journal: Path
    pinned_now: datetime | None = None

    def now(self) -> datetime:
        """The practice's present instant, aware, UTC: what letters expire by."""
        return self.pinned_now or datetime.now(UTC)


def read_portal_settings(environ: Mapping[str, str] | None = None) -> PortalSettings:
    """The portal's settings. Raises ConfigurationError naming the variable at fault."""
    env = os.environ if environ is None else environ
    _refuse_misspelt(env)
    home = Path(env.get(PREFIX + "HOME") or HOME).resolve()
    keyring = _keyring(env, home)
    return PortalSettings(
        home=home,
        store_url=_required(env, "STORE_URL"),
        keyring=keyring,
        journal=journal_path(keyring, env),
        pinned_now=pinned_instant(env),
    )


def vendors_path(home: Path, environ: Mapping[str, str] | None = None) -> Path:
    """The vendor registry in force for the project at `home`: what campaign files are held to."""
    env = os.environ if environ is None else environ
    return _path(env, "VENDORS_FILE") or home / "vendors.yaml"


def journal_path(keyring: Path, environ: Mapping[str, str] | None = None) -> Path:
    """The journal of refusals in force for this keyring."""
    env = os.environ if environ is None else environ
    return _journal(env) or keyring / JOURNAL


def checkpoints_location(keyring: Path, environ: Mapping[str, str] | None = None) -> str:
    """Where the checkpoints of this keyring's ledger lie."""
    env = os.environ if environ is None else environ
    return env.get(PREFIX + "CHECKPOINTS") or str(keyring / CHECKPOINTS)


def actor_required(environ: Mapping[str, str] | None = None) -> bool:
    """Whether a person must be named. Raises ConfigurationError for anything but `true`."""
    env = os.environ if environ is None else environ
    value = env.get(PREFIX + "ACTOR_REQUIRED", "")
    if value not in ("", "true"):
        raise ConfigurationError(
            f"setting {PREFIX}ACTOR_REQUIRED is {value!r}; write true, or leave it out"
        )
    return bool(value)


def mirror_url(environ: Mapping[str, str] | None = None) -> str | None:
    """The OpenLineage backend's address, without a slash at its end; None = there is no mirror.

    Raises ConfigurationError where what is told it, or its token, could be read on the way.
    """
    env = os.environ if environ is None else environ
    url = env.get(PREFIX + "MIRROR_URL", "").rstrip("/")
    if not url:
        return None
    if not is_mirror(url):
        raise ConfigurationError(
            f"setting {PREFIX}MIRROR_URL is no address that may be told anything; write it like"
            f" https://lineage.example.org (http:// on this machine only), the token in {PREFIX}"
            "MIRROR_TOKEN"
        )
    return url


def mirror_token(environ: Mapping[str, str] | None = None) -> str | None:
    """The bearer token for it, if it wants one (RFC 6750 section 2.1)."""
    env = os.environ if environ is None else environ
    token = env.get(PREFIX + "MIRROR_TOKEN") or None
    if token and not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise ConfigurationError(
            f"setting {PREFIX}MIRROR_TOKEN is no bearer token; write it without quotes and spaces"
        )
    return token


def key_service(environ: Mapping[str, str] | None = None) -> str | None:
    """The key service's address, without any secret; None = the keyring's own files (SEC-25).

    `vault+https://host:8200/<mount>/<key>` (`vault+http://` on this machine only) or
    `aws-kms:<key id, ARN or alias/name>`. Raises ConfigurationError for any other.
    """
    env = os.environ if environ is None else environ
    if not (address := env.get(PREFIX + "KEY_SERVICE", "").rstrip("/")):
        return None
    if not is_key_service(address):
        raise ConfigurationError(
            f"setting {PREFIX}KEY_SERVICE is no key service; write it like"
            " vault+https://vault.example.org:8200/transit/reengage (http on this machine only) or"
            " aws-kms:alias/reengage, tokens and keys the service's own way (VAULT_TOKEN, AWS_...)"
        )
    return address


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(PREFIX + name, "")
    if not value:
        raise ConfigurationError(
            f"setting {PREFIX}{name} is missing; set it in the environment of the Airflow workers"
            " (`make run` and `make ui` set it for the embedded default)"
        )
    return value


def _refuse_misspelt(env: Mapping[str, str]) -> None:
    """An optional setting that is misspelt would be ignored, and something else happen instead."""
    for name in env:
        own = name.removeprefix(PREFIX)
        if own == name or own in NAMES or own.startswith(OF_VENDORS):
            continue
        if near := difflib.get_close_matches(own, (*NAMES, *OF_VENDORS), n=1, cutoff=0.8):
            raise ConfigurationError(f"setting {name} is unknown, did you mean {PREFIX}{near[0]}?")


def _keyring(env: Mapping[str, str], home: Path) -> Path:
    keyring = Path(_required(env, "KEYRING")).resolve()
    if keyring.is_relative_to(home):
        raise ConfigurationError(
            f"setting {PREFIX}KEYRING lies below {home}, from where the keys would go with every"
            " copy of the project; keep them elsewhere"
        )
    return keyring


def _path(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(PREFIX + name, "")
    return Path(value) if value else None


def _journal(env: Mapping[str, str]) -> Path | None:
    """One file for all processes, wherever each was started."""
    journal = _path(env, "JOURNAL")
    if journal and not journal.is_absolute():
        raise ConfigurationError(f"setting {PREFIX}JOURNAL is no whole path; begin it with /")
    return journal


def pinned_instant(environ: Mapping[str, str] | None = None) -> datetime | None:
    """The clock that a trial stands at; None = the machine's. Raises ConfigurationError."""
    value = (os.environ if environ is None else environ).get(PREFIX + "PINNED_NOW", "")
    if not value:
        return None
    with suppress(ValueError):
        instant = datetime.fromisoformat(value)
        if instant.tzinfo:
            return instant.astimezone(UTC)
    raise ConfigurationError(
        f"setting {PREFIX}PINNED_NOW is no ISO 8601 instant with an offset;"
        " write it like 2026-06-01T15:00:00+00:00"
    )


def _by_vendor(env: Mapping[str, str], kind: str) -> dict[str, str]:
    start = PREFIX + kind
    return {
        name.removeprefix(start).lower(): value
        for name, value in env.items()
        if name.startswith(start) and value
    }
