"""Tables: what a page shows and an export holds, the same values in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "code", "count", "share", "day", "instant", "seconds", "number", "badge"]
Tone = Literal["good", "warn", "bad", "quiet"]


@dataclass(frozen=True)
class Badge:
    """A word with a colour that says the same."""

    text: str
    tone: Tone = "quiet"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Link:
    """A text that leads to another page, by its path below the app's, or Airflow's if `outside`."""

    text: str
    path: str
    outside: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Strip:
    """What held and what failed, oldest first, as small marks. Its counts stand beside it."""

    held: Sequence[bool]

    def __str__(self) -> str:
        return "".join("+" if one else "-" for one in self.held)


@dataclass(frozen=True)
class Column:
    """A column: its name in exports, its heading on the page, and what its cells are."""

    name: str
    label: str
    kind: Kind = "text"

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right."""
        return self.kind in ("count", "share", "seconds", "number")


@dataclass(frozen=True)
class Table:
    """Rows of cells; a cell may be a value, a Badge, a Link, a Strip, HIDDEN or None."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.rows


def table(
    name: str,
    caption: str,
    columns: Sequence[tuple[str, str, Kind]],
    rows: Sequence[Sequence[Any]],
    note: str = "",
) -> Table:
    """A table; columns as name, heading and kind."""
    return Table(name, caption, [Column(*column) for column in columns], rows, note)
