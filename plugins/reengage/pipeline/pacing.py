"""Pacing: how many letters may leave now, over all workers together.

A token bucket per relay and one per recipient's domain, each a row of the store (`pace`), filled by
the store's clock alone and locked while somebody draws on it: however many workers ask, no more
than `burst + rate x seconds` letters are granted in any span, and no bucket is ever below nothing.
Nobody draws more than a quarter of a full bucket at once, so that none goes without while another
has all.
A domain is known here by its keyed pseudonym only. Without limits in the vendor's entry nothing is
asked of the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.keys import Keyring
from reengage.pipeline.run import Run
from reengage.sql import load_sql
from reengage.vendors import Vendor

PATIENCE_SECONDS = 5.0
"""The longest that a worker waits for tokens; for longer, its task comes back at an instant."""
_SHARE = 4
"""Nobody takes more than this part of a full bucket at once."""


@dataclass(frozen=True)
class Bucket:
    """What is in a bucket now, in letters, and how it fills."""

    tokens: float
    capacity: float
    per_second: float

    @property
    def share(self) -> int:
        """The most that is drawn at once."""
        return max(1, math.ceil(self.capacity / _SHARE))

    def seconds_to(self, tokens: float) -> float:
        """How long until it holds so many, if nobody else draws."""
        return max(0.0, (min(tokens, self.capacity) - self.tokens) / self.per_second)


@dataclass(frozen=True)
class Granted:
    """Which of the letters that were asked for may leave now."""

    letters: tuple[int, ...]
    """Their places in what was asked for, rising; each has its token, which is not given back."""
    wait_seconds: float = 0.0
    """How long until it is worth asking for the others; 0 = there are none, or at once."""
    held: Mapping[int, float] = field(default_factory=dict)
    """Those whose domain has had its share: place -> seconds until its turn may come."""


def take(connection: Connection, run: Run, recipients: Sequence[str]) -> Granted:
    """Tokens for letters to these addresses, as many as there are now.

    Commit at once: other workers wait for the buckets meanwhile. A token that is not used, since
    the last look withheld its letter, is lost: letters leave a little slower, never faster.
    """
    vendor = run.vendor
    if not recipients or not (vendor.rate.per_second or vendor.rate.per_domain_per_minute):
        return Granted(tuple(range(len(recipients))))
    domains = _domains(vendor, run.keyring, recipients)
    limits = _limits(vendor, domains)
    buckets = _locked(connection, run, limits)
    granted = share_out(buckets.get(vendor.name), [buckets.get(one) for one in domains], domains)
    taken = dict.fromkeys(limits, 0)
    for place in granted.letters:
        for scope in (vendor.name, domains[place]):
            if scope in taken:
                taken[scope] += 1
    connection.execute(
        text(load_sql(run.settings.home, "outbox/take.sql")),
        {"scopes": list(taken), "taken": list(taken.values())},
    )
    return granted


def share_out(
    relay: Bucket | None, buckets: Sequence[Bucket | None], domains: Sequence[str]
) -> Granted:
    """Who may go: in order, as long as the relay's bucket and the letter's domain's have a token.

    `relay` and each of `buckets` are None where nothing limits them; letters with an equal domain
    have an equal bucket. Touches nothing.
    """
    left = min(math.floor(relay.tokens), relay.share) if relay else len(domains)
    drawn: dict[str, int] = {}
    letters: list[int] = []
    held: dict[int, float] = {}
    short = 0
    for place, (bucket, domain) in enumerate(zip(buckets, domains, strict=True)):
        before = drawn.get(domain, 0)
        if bucket is not None and before + 1 > bucket.tokens:
            drawn[domain] = before + 1  # in line behind those of its domain
            held[place] = (before + 1 - bucket.tokens) / bucket.per_second
        elif len(letters) >= left:
            short += 1
        else:
            drawn[domain] = before + 1
            letters.append(place)
    waits = list(held.values())
    if relay is not None and short:
        waits.append(relay.seconds_to(len(letters) + min(short, relay.share)))
    return Granted(tuple(letters), min(waits, default=0.0), held)


def hold(connection: Connection, held: Mapping[UUID, float]) -> None:
    """Leave these letters alone for so many seconds, by the store's clock: others go meanwhile."""
    if held:
        connection.execute(
            text(
                "UPDATE letter SET held_until ="
                " clock_timestamp() + make_interval(secs => h.seconds)"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS float8[])) AS h (id, seconds)"
                " WHERE letter_id = h.id AND state IN ('composed', 'deferred')"
            ),
            {"ids": list(held), "seconds": list(held.values())},
        )


def held_for(connection: Connection, run: Run, chunk: int, token: UUID) -> float | None:
    """Seconds until the first of the chunk's held letters has its turn; None = none is held.

    A letter that the try of this token put off is not held but planned (retry).
    """
    seconds: float | None = connection.execute(
        text(
            "SELECT extract(epoch FROM min(held_until) - clock_timestamp()) FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND rehearsal IS NULL"
            " AND checked_at IS NOT NULL AND held_until IS NOT NULL"
            " AND (next_try_at IS NULL OR next_try_at <= :now)"  # else it is planned (retry)
            " AND (state = 'composed' OR (state = 'deferred' AND claim IS DISTINCT FROM :token))"
        ),
        {"run_id": run.run_id, "chunk": chunk, "token": token, "now": run.settings.now()},
    ).scalar_one()
    return None if seconds is None else max(0.0, float(seconds))


def take_slot(connection: Connection, vendor: Vendor) -> int | None:
    """One of the relay's connections, for as long as this session of the store lasts.

    Gives its number, for `give_slot`; None = all are in use. A worker that is killed loses its
    session, and the slot is free. 0 where the vendor's entry sets no limit.
    """
    for slot in range(1, (vendor.rate.connections or 0) + 1):
        taken = connection.execute(
            text("SELECT pg_try_advisory_lock(hashtext(:scope), :slot)"),
            {"scope": f"relay/{vendor.name}", "slot": slot},
        ).scalar_one()
        if taken:
            return slot
    return None if vendor.rate.connections else 0


def give_slot(connection: Connection, vendor: Vendor, slot: int) -> None:
    """The connection is closed; another worker may have its slot."""
    if slot:
        connection.execute(
            text("SELECT pg_advisory_unlock(hashtext(:scope), :slot)"),
            {"scope": f"relay/{vendor.name}", "slot": slot},
        )


def _domains(vendor: Vendor, keyring: Keyring, recipients: Sequence[str]) -> list[str]:
    """The scope of each recipient's domain: the same for the same domain, however it is written."""
    names = [address.rpartition("@")[2].rstrip(".").lower() for address in recipients]
    known = {name: keyring.pseudonym("domain", name) for name in set(names)}
    return [f"{vendor.name}/{known[name]}" for name in names]


def _limits(vendor: Vendor, domains: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Scope -> capacity and letters per second."""
    limits: dict[str, tuple[float, float]] = {}
    if vendor.rate.per_second:
        limits[vendor.name] = (vendor.rate.most_at_once, vendor.rate.per_second)
    if each := vendor.rate.per_domain_per_minute:
        # A minute's letters never go in one breath: at most ten seconds' worth.
        limits |= dict.fromkeys(domains, (max(1.0, each / 6), each / 60))
    return limits


def _locked(
    connection: Connection, run: Run, limits: Mapping[str, tuple[float, float]]
) -> dict[str, Bucket]:
    """The buckets as they are now, held until the caller's transaction ends."""
    scopes = sorted(limits)  # one order for everybody, so that nobody waits for who waits for them
    parameters = {
        "scopes": scopes,
        "capacities": [limits[scope][0] for scope in scopes],
        "rates": [limits[scope][1] for scope in scopes],
    }
    home = run.settings.home
    connection.execute(text(load_sql(home, "outbox/pace_known.sql")), parameters)
    found = connection.execute(text(load_sql(home, "outbox/pace_filled.sql")), parameters)
    return {row.scope: Bucket(row.tokens, *limits[row.scope]) for row in found}
