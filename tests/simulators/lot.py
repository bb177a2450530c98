"""What may befall a letter on its way through a relay, drawn by lot; and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

Kind = Literal["4xx", "5xx", "421", "drop", "reset", "slow", "nonsense", "half"]

_BEFORE: Sequence[Kind] = ("4xx", "5xx", "421", "drop", "reset", "slow")
FAULTS: dict[str, Sequence[Kind]] = {
    "connect": ("421", "drop", "reset", "slow"),
    "ehlo": ("421", "drop", "reset"),
    "mail": _BEFORE,
    "rcpt": _BEFORE,
    "data": _BEFORE,
    "body": ("drop", "reset", "slow"),
    "dot": (*_BEFORE, "nonsense"),
    "reply": ("drop", "reset", "slow", "nonsense", "half"),
}
"""What may go wrong at which stage. `half`: the beginning of a reply, then the end."""
OF_A_CONNECTION = ("connect", "ehlo")
OF_A_LETTER = ("mail", "rcpt", "data", "body", "dot", "reply")
_WEIGHTS = (1, 2, 1, 1, 4, 3)
WITHOUT_A_WORD: frozenset[Kind] = frozenset({"drop", "reset", "nonsense", "half"})
"""After these nobody can say from here what the relay did."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one letter, or one connection."""

    stage: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind} at {self.stage}"


def draw(share: float, stages: Sequence[str], *place: int) -> Fault | None:
    """What befalls the letter or the connection at this place, if anything."""
    lot = Random("/".join(str(part) for part in (*stages, *place)))
    if lot.random() >= share:
        return None
    stage = lot.choices(stages, _WEIGHTS if stages == OF_A_LETTER else None)[0]
    return Fault(stage, lot.choice(FAULTS[stage]))


@dataclass
class Transaction:
    """One letter's way through the relay."""

    tag: int
    connection: int
    fault: Fault | None = None
    rcpt: str = ""
    began: bool = False
    """The first octets of its content are here."""
    whole: bool = False
    taken: bool = False
    answer: int | None = None
    """Code of the reply that ended it, once it was written."""
    broken_at: str = ""
    """The stage at which the relay ended the connection without a word on the letter."""
    queue_id: str = ""
    codes: list[str] = field(default_factory=list)
    """Enhanced codes that said no."""
    message_id: str = ""
    content: bytes = field(default=b"", repr=False)
