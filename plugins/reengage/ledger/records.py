"""Records: what an entry of the ledger can say, one function per kind (docs/ledger-format.md).

No body names a patient: keyed pseudonyms, counts, digests and ids only (LOG-09).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from uuid import UUID

from reengage.errors import LedgerError

Kind = Literal["run_event", "intent", "disclosure", "access", "configuration", "checkpoint"]
KINDS: tuple[Kind, ...] = (
    "run_event", "intent", "disclosure", "access", "configuration", "checkpoint",
)  # fmt: skip

SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "run_event": ("run", "runId"),
    "intent": ("run",),
    "disclosure": ("patient",),
    "access": ("actor",),
    "configuration": ("name",),
    "checkpoint": ("origin",),
}
"""Where in the body of each kind its subject stands."""


@dataclass(frozen=True)
class Record:
    """What is to be appended: a kind and its body."""

    kind: Kind
    body: Mapping[str, Any] = field(repr=False)

    @property
    def subject(self) -> str:
        """What the entry is looked up by."""
        return subject_of(self.kind, self.body)


def subject_of(kind: str, body: Mapping[str, Any]) -> str:
    """The subject of a body of this kind. Raises LedgerError where it has none."""
    if kind not in SUBJECTS:
        raise LedgerError("its kind is unknown")
    found: Any = body
    for name in SUBJECTS[kind]:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, str):
        raise LedgerError(f"$.{'.'.join(SUBJECTS[kind])} is no text, by which it is looked up")
    return found


def run_event(event: Mapping[str, Any]) -> Record:
    """An OpenLineage run event, whole (OLN-01)."""
    return Record("run_event", event)


def intent(
    *,
    run: UUID,
    campaign: str,
    vendor: str,
    baa_id: str,
    letters: Sequence[UUID],
    periods: Sequence[str] = (),
) -> Record:
    """These letters are about to be offered to this vendor (LOG-12).

    `periods` are theirs, side by side, by pseudonym: with the patient of its disclosure they make
    a letter's opt-out link, which must go on working if its row is lost (EML-26).
    """
    return Record("intent", {
        "run": str(run), "campaign": campaign, "vendor": vendor, "baa_id": baa_id,
        "letters": [str(letter) for letter in letters],
    } | ({"periods": list(periods)} if periods else {}))  # fmt: skip


@dataclass(frozen=True)
class Disclosure:
    """What became of one letter, and what it told whom under which agreement (PRV-25)."""

    letter: UUID
    run: UUID
    campaign: str
    campaign_date: date
    patient: str
    recipient: str | None
    pseudonym_key: str
    purpose: str
    fields: Sequence[str]
    authorization: str | None
    template_sha256: str
    suite_sha256: str
    vendor: str
    baa_id: str
    message_id: str
    seal: str
    seal_basis: str | None
    outcome: str
    reason: str | None
    transport: Mapping[str, Any] | None

    def record(self) -> Record:
        """The record of it."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__}
        said |= {
            "letter": str(self.letter),
            "run": str(self.run),
            "campaign_date": self.campaign_date.isoformat(),
            "fields": list(self.fields),
            "transport": None if self.transport is None else dict(self.transport),
        }
        return Record("disclosure", said)


def access(*, actor: str, action: str, of: str, detail: Mapping[str, Any] | None = None) -> Record:
    """Somebody opened, exported, approved or resolved something (SEC-15)."""
    return Record("access", {
        "actor": actor, "action": action, "of": of, "detail": dict(detail or {}),
    })  # fmt: skip


def configuration(
    *, name: str, sha256: str | None, previous: str | None, changed_by: Mapping[str, Any]
) -> Record:
    """A campaign, template, suite, question or vendor is another than before (SEC-16)."""
    return Record("configuration", {
        "name": name, "sha256": sha256, "previous": previous, "changed_by": dict(changed_by),
    })  # fmt: skip


def checkpoint(*, origin: str, note: str) -> Record:
    """A checkpoint was signed; the note itself lies where the database's owner cannot change it."""
    return Record("checkpoint", {"origin": origin, "note": note})
