"""Effects: what follows from a message about a letter, as rows and as records of the ledger.

All in the caller's transaction, suppressions in their journal before that; records come last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection, text

from reengage import suppressions
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.owed import pay
from reengage.ledger.records import Record, access
from reengage.pipeline.superseding import last_record, supersede
from reengage.pipeline.unknown import resolve
from reengage.practice import Practice
from reengage.responses.letters import Returned
from reengage.responses.policy import Judged
from reengage.settings import Settings
from reengage.suppressions import Reason, Suppression

ACTOR = suppressions.RESPONSES


@dataclass(frozen=True)
class Effects:
    """Of one message, whose keyed digest is the evidence."""

    connection: Connection
    settings: Settings
    practice: Practice
    keyring: Keyring
    item: str

    def follow(
        self, letter: Returned, kind: str, judged: Judged | None, verdict: str, *, signed: bool
    ) -> None:
        """Do what the verdict asks for. Raises StoreError, LedgerError."""
        records: list[Record] = []
        told = ""
        if verdict in ("hard", "soft"):
            assert judged is not None  # noqa: S101 - a bounce was judged
            if suppression := self._of_bounce(letter, judged):
                told = self._suppress(suppression)
        elif verdict == "complaint":
            told = self._suppress(self._of_complaint(letter))
        if letter.state == "unknown":
            records.append(self._resolve(letter, kind, judged, signed))
        if verdict in ("hard", "soft") and judged is not None:
            self._return(letter, judged)
        append(self.connection, self.keyring, records)
        pay(self.connection, self.keyring, told={told})

    def _of_bounce(self, letter: Returned, judged: Judged) -> Suppression | None:
        """At once for a dead address; for a passing trouble when there were enough of them."""
        made = self._suppression(letter, "hard_bounce", judged.status)
        if judged.verdict == "hard":
            return replace(made, recipient=letter.recipient)
        if self._soft_bounces(letter) < self.practice.returns.soft_bounces:
            return None
        return replace(
            self._suppression(letter, "soft_bounces", judged.status),
            recipient=letter.recipient,
            expires_at=made.at + timedelta(days=self.practice.returns.pause_days),
        )

    def _of_complaint(self, letter: Returned) -> Suppression:
        """The letter's purpose stands in its record: the campaign's file may have changed."""
        said = last_record(self.connection, letter.patient, letter.letter_id)
        made = self._suppression(letter, "complaint", None)
        return replace(made, recipient=None, patient=letter.patient, purpose=str(said["purpose"]))

    def _suppression(self, letter: Returned, reason: Reason, status: str | None) -> Suppression:
        return Suppression(
            suppression_id=suppressions.suppression_id(letter.letter_id, reason),
            reason=reason,
            at=self.settings.now(),
            recipient=letter.recipient,
            letter_id=letter.letter_id,
            evidence=self.item,
            status=status,
        )

    def _soft_bounces(self, letter: Returned) -> int:
        """Letters to the address that came back for a passing reason, this one included, since it
        was last left alone: a pause that is over begins the count anew.
        """
        found: int = self.connection.execute(
            text(
                "SELECT count(DISTINCT letter_id) FROM response WHERE recipient = :recipient"
                " AND verdict = 'soft' AND at > :since AND at > coalesce((SELECT max(coalesce("
                "lifted_at, expires_at)) FROM suppression WHERE recipient = :recipient"
                " AND coalesce(lifted_at, expires_at) <= :now), '-infinity')"
            ),
            {
                "recipient": letter.recipient,
                "now": self.settings.now(),
                "since": self.settings.now() - timedelta(days=self.practice.returns.within_days),
            },
        ).scalar_one()
        return found

    def _suppress(self, one: Suppression) -> str:
        """What names its record among those that the ledger is owed: one, whoever writes it. The
        same news again, by another message, is none.
        """
        suppressions.record(self.connection, self.settings.suppressions_path, [one])
        return suppressions.suppressing(one.suppression_id)

    def _resolve(self, letter: Returned, kind: str, judged: Judged | None, signed: bool) -> Record:
        """Whoever can name the letter has had it: it was sent. Never `refused` by itself."""
        said = f"{judged.verdict} {judged.status or ''}".strip() if judged else kind
        ground = f"{'signed event' if signed else 'message'}: {kind}: {said}"
        resolve(self.connection, self.keyring, letter.letter_id, "sent", ground)
        detail = {"letter": str(letter.letter_id), "as": "sent", "ground": ground}
        return access(
            actor=ACTOR, action="resolved", of=f"unknown/{letter.letter_id}", detail=detail
        )

    def _return(self, letter: Returned, judged: Judged) -> None:
        """The letter's newest record says that it came back, and why; the first notice counts."""
        if letter.returned is not None:
            return
        self.connection.execute(
            text("UPDATE letter SET returned = :why WHERE letter_id = :letter_id"),
            {"why": judged.why, "letter_id": letter.letter_id},
        )
        supersede(
            self.connection, self.keyring, letter.patient, letter.letter_id, reason=judged.why
        )
