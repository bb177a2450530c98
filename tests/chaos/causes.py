"""Causes: why a letter is `unknown`, one by one. One that has none is a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.lot import Transaction

from chaos.round import Played
from chaos.tries import Try

KEPT_BACK = "the relay gave no word after the whole letter"
CUT_SHORT = "the relay hung up while the whole letter was on its way to it"
_WHOLE_IN_ONE_BREATH = {False: ("body",), True: ("mail", "rcpt", "data", "body")}
"""Where a relay hangs up and the client, which has said everything, cannot know how far it came:
with DATA there was a 354 before, with CHUNKING all of it is one group of commands (RFC 3030)."""
INTERRUPTIONS = {
    "kill": "SIGKILL of the sender",
    "cut": "its session in the store ended",
    "restart": "the database was restarted",
    "crash": "the database crashed",
    "backend": "a process of the database was killed",
}
"""SIGTERM is none: the letter under way is finished, the others are given back."""
CRASHES = ("crash", "backend")


@dataclass
class Causes:
    """Letters by cause, and those without."""

    by_cause: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def causes_of_unknown(played: Played, addresses: Mapping[str, str]) -> Causes:
    """Give each unknown letter to the fault that made it: a fault makes one of a connection.

    A crash of the database makes unknown what was claimed or attempted then: all that its tries
    held, since the store cannot tell any more which of it was offered.
    """
    found = Causes()
    free = {one.tag: one for one in played.tries if _interruption(one)}
    cut_short = [t for t in played.transactions if _is_cut_short(played, t)]
    left = []
    for letter in played.letters:
        if letter["state"] != "unknown":
            continue
        rcpt = addresses.get(letter["patient"], "")
        last = _last(played, rcpt)
        if last is not None and last.broken_at in ("dot", "reply"):
            found.by_cause[KEPT_BACK] += 1
        elif last is not None and last in cut_short:
            cut_short.remove(last)
            found.by_cause[CUT_SHORT] += 1
        elif last is not None and last.tag in free and _is_last_of_its_try(played, last):
            found.by_cause[INTERRUPTIONS[_interruption(free.pop(last.tag))]] += 1
        else:
            left.append((letter, rcpt))
    for letter, rcpt in left:
        _give(found, played, free, cut_short, letter, rcpt)
    return found


def _is_cut_short(played: Played, one: Transaction) -> bool:
    chunking = "CHUNKING" in played.plan.extensions
    return one.broken_at in _WHOLE_IN_ONE_BREATH[chunking]


def _give(
    found: Causes,
    played: Played,
    free: dict[int, Try],
    cut_short: list[Transaction],
    letter: dict[str, Any],
    rcpt: str,
) -> None:
    """Marked, and the relay read nothing of it: it hung up, or the try was interrupted."""
    tags = {one.tag for one in played.tries if one.chunk == letter["chunk"]}
    unread = [one for one in cut_short if one.tag in tags and one.rcpt in ("", rcpt)]
    if str(letter["reason"]).startswith("connection_lost") and unread:
        cut_short.remove(unread[0])
        found.by_cause[CUT_SHORT] += 1
        return
    of_chunk = [one for one in free.values() if one.chunk == letter["chunk"]]
    if of_chunk:
        one = free.pop(of_chunk[0].tag)
        found.by_cause[INTERRUPTIONS[_interruption(one)]] += 1
    elif letter["reason"] == "database_crashed" and _crashed(played, letter["chunk"]):
        found.by_cause["the database crashed, further letters of the batch"] += 1
    else:
        found.wrong.append(
            f"letter {letter['letter_id']} is unknown ({letter['reason']}), and nothing made it so"
        )


def _crashed(played: Played, chunk: int) -> bool:
    """Whether it did while or after a try of the chunk was at work."""
    crashes = {*CRASHES, *(f"{what} later" for what in CRASHES)}
    return any(one.chunk == chunk and crashes & set(one.befell) for one in played.tries)


def _interruption(one: Try) -> str:
    """What broke a try off; "" = nothing did."""
    return next((what for what in INTERRUPTIONS if what in one.befell), "")


def _last(played: Played, rcpt: str) -> Transaction | None:
    theirs = [t for t in played.transactions if t.rcpt == rcpt and t.began]
    return theirs[-1] if theirs else None


def _is_last_of_its_try(played: Played, one: Transaction) -> bool:
    return [t for t in played.transactions if t.tag == one.tag and t.began][-1] is one
