"""A practice whose letters have left, and what a test asks of it."""

from __future__ import annotations

from dataclasses import dataclass

from daily import Practice
from notices import Sent
from reengage.keys import open_keyring
from reengage.ledger.entry import parse
from reengage.responses.read import desk_of
from reengage.responses.take import Desk, Taken, take_message


@dataclass
class Mailed:
    """A practice that has sent three appointment reminders; of a fourth nobody knows."""

    practice: Practice
    letters: dict[str, Sent]
    """Those that were sent, as p0 to p2, and `lost`; whose they are is by chance."""

    @property
    def desk(self) -> Desk:
        return desk_of(self.practice.settings)

    def take(self, content: bytes) -> Taken:
        return take_message(self.desk, "maildir", content)

    def suppressions(self) -> list[dict[str, object]]:
        return self.practice.rows("SELECT * FROM suppression ORDER BY at, reason")

    def letter(self, key: str) -> dict[str, object]:
        [row] = self.practice.rows(
            "SELECT * FROM letter WHERE letter_id = CAST(:id AS uuid)",
            id=self.letters[key].letter_id,
        )
        return row

    def records(self, kind: str = "access") -> list[dict[str, object]]:
        found = self.practice.rows(
            "SELECT entry FROM ledger_entry WHERE kind = :kind ORDER BY index", kind=kind
        )
        return [dict(parse(bytes(row["entry"])).body) for row in found]  # type: ignore[call-overload]

    def pseudonym(self, label: str, value: str) -> str:
        return open_keyring(self.practice.settings.keyring).pseudonym(label, value)
