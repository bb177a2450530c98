"""Letter: compose the letters of one chunk, sealed, with a Message-ID that a retry repeats.

Takes staged rows, leaves rows of the outbox in state `composed`. Refuses an undefined field, a
header that data could break out of, a row whose columns are not the declared ones. A letter that
exists for the campaign, patient and period is never composed a second time, whoever asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from reengage import staging
from reengage.campaigns import Campaign
from reengage.compose import compose, opt_out_mailto
from reengage.errors import LetterError
from reengage.pipeline.decide import recipient_pseudonym
from reengage.pipeline.extract import ENVELOPE
from reengage.pipeline.plan import Chunk
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete
from reengage.templates import Template, format_field, load_template

BLANK = "\N{FULL BLOCK}"
"""Before and after a field's name: what stands for it in the blank letter that a check compares."""

STANDING = (
    "appointment.start_at", "appointment.location", "medication.name", "medication.dosage_text",
)  # fmt: skip
"""Columns that a letter may not tell otherwise than the warehouse does when it is sent."""


@dataclass(frozen=True)
class Addressed:
    """A letter as the outbox seals it: whom it is for, the finished message, and what it speaks of.

    The last look asks the warehouse whether that still stands. `says` holds what the letter tells,
    by contract column, as the source had it.
    `time_zone` is the patient's, whose clock opens the send window; "" = sealed before it was kept.
    """

    patient_key: str
    recipient: str
    language: str
    declared: Mapping[str, str]
    message: bytes
    appointment_key: str | None = None
    medication_key: str | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    time_zone: str = ""

    def to_bytes(self) -> bytes:
        """The content to seal."""
        head = {
            "patient_key": self.patient_key,
            "recipient": self.recipient,
            "language": self.language,
            "declared": dict(self.declared),
            "appointment_key": self.appointment_key,
            "medication_key": self.medication_key,
            "says": dict(self.says),
            "time_zone": self.time_zone,
        }
        return json.dumps(head).encode() + b"\n" + self.message

    @classmethod
    def from_bytes(cls, content: bytes) -> Addressed:
        """The letter that `to_bytes` wrote."""
        head, _, message = content.partition(b"\n")
        return cls(**json.loads(head), message=message)


def write_letters(run: Run, chunk: Chunk) -> int:
    """Compose the chunk's letters; gives how many are new. Repeating it composes none twice."""
    key = run.data_key
    templates = {
        language: load_template(run.settings.home, run.campaign.template, language)
        for language in run.campaign.languages
    }
    written = 0
    with run.store.connect() as connection:
        parts = range(chunk["first"], chunk["last"] + 1)
        for number, rows in enumerate(staging.read_parts(connection, key, parts)):
            if number:  # the part before; the last one commits with the task's end
                connection.commit()
            due = _due(connection, run, [run.pseudonym(row["patient_key"]) for row in rows])
            letters = [
                _outbox_row(run, chunk, row, templates[row["language"]])
                for row in rows
                if run.pseudonym(row["patient_key"]) in due
            ]
            written += _insert(connection, run, letters)
        complete(connection, run, rows={"letters": written})
        connection.commit()
    return written


def blanks(campaign: Campaign) -> dict[str, str]:
    """A value for each field of the campaign that says nothing but which field it is."""
    return {name: f"{BLANK}{name}{BLANK}" for name in campaign.fields}


def compose_letter(
    run: Run,
    template: Template,
    declared: Mapping[str, str],
    recipient: str,
    identity: str,
    *,
    signed: bool = True,
) -> bytes:
    """The finished message for these formatted fields. `identity` is what `identity_of` gives."""
    opt_out_url, opt_out_by_mail = opt_out_links(run, identity)
    rendered = template.render(
        declared, run.practice, opt_out_url=opt_out_url, opt_out_mailto=opt_out_by_mail
    )
    return compose(
        rendered,
        practice=run.practice,
        recipient=recipient,
        message_id=message_id(run, identity),
        date=run.settings.now(),
        opt_out_token=_opt_out_token(run, identity),
        dkim_key=run.keyring.dkim_key() if signed else None,
    )


def identity_of(campaign: str, patient: str, period: str) -> str:
    """What makes a letter unique: campaign, the patient's pseudonym, the period's."""
    return f"{campaign}/{patient}/{period}"


def opt_out_links(run: Run, identity: str) -> tuple[str, str]:
    """The letter's own opt-out, one click and by e-mail (EML-04, EML-05)."""
    token = _opt_out_token(run, identity)
    return run.practice.opt_out_url + token, opt_out_mailto(run.practice, token)


def _opt_out_token(run: Run, identity: str) -> str:
    return run.keyring.token("opt-out", identity)


def message_id(run: Run, identity: str) -> str:
    """Deterministic and free of PHI: a keyed hash of what makes the letter unique (TRK-05)."""
    return f"<{run.keyring.token('message-id', identity)}@{run.practice.message_id_domain}>"


def format_declared(run: Run, row: staging.Row, language: str) -> dict[str, str]:
    """The campaign's fields as the patient reads them. Raises LetterError naming the column."""
    declared = {}
    for name, rule in run.campaign.fields.items():
        try:
            value = format_field(row[rule.from_], rule.as_, language, str(row["time_zone"]))
        except LetterError as error:
            raise LetterError(f"field {name!r}, read from contract.{rule.from_}: {error}") from None
        declared[name] = value
    return declared


def _due(connection: Connection, run: Run, patients: list[str]) -> set[str]:
    """Of these patients, those to write to: decided so, and not held out."""
    found = connection.execute(
        text(
            "SELECT patient FROM decision"
            " WHERE run_id = :run_id AND arm = 'write' AND patient = ANY(CAST(:patients AS text[]))"
        ),
        {"run_id": run.run_id, "patients": patients},
    )
    return set(found.scalars())


def _outbox_row(run: Run, chunk: Chunk, row: staging.Row, template: Template) -> dict[str, object]:
    if set(row) != {*ENVELOPE, *run.campaign.sources()}:
        raise LetterError(
            "a staged row does not have exactly the declared columns; clear `extract`"
        )
    patient = run.pseudonym(row["patient_key"])
    identity = identity_of(run.campaign.slug, patient, row["period_key"])
    declared = format_declared(run, row, row["language"])
    message = compose_letter(run, template, declared, row["recipient"], identity)
    letter = Addressed(
        row["patient_key"],
        row["recipient"],
        row["language"],
        declared,
        message,
        appointment_key=row.get("appointment_key"),
        medication_key=row.get("medication_key"),
        says={column: comparable(row[column]) for column in STANDING if column in row},
        time_zone=row["time_zone"],
    )
    return {
        "campaign": run.campaign.slug,
        "patient": patient,
        "period": row["period_key"],
        "rehearsal": run.rehearsal,
        "run_id": run.run_id,
        "campaign_date": run.day,
        "sender_run_id": run.run_id,
        "chunk": chunk["number"],
        "message_id": message_id(run, identity),
        "sealed": run.data_key.seal(letter.to_bytes(), bound_to=f"letter/{identity}"),
        "template_sha256": template.digest,
        "expires_at": row["expires_at"],
        "recipient_id": recipient_pseudonym(run, row["recipient"]),
        "authorization_id": _authorization_id(run, row["authorization_key"]),
    }


def _authorization_id(run: Run, key: str | None) -> str | None:
    """What the form that a letter rests on is called outside the vault."""
    return run.keyring.pseudonym("authorization", key) if key else None


def comparable(value: object) -> str:
    """A value as a letter seals it: equal for equal values, whatever the zone of a session."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _insert(connection: Connection, run: Run, letters: list[dict[str, object]]) -> int:
    if not letters:
        return 0
    columns = list(letters[0])
    statement = text(
        f"INSERT INTO letter ({', '.join(columns)})"  # noqa: S608 - our own column names
        f" VALUES ({', '.join(':' + column for column in columns)}) ON CONFLICT DO NOTHING"
    )
    return sum(connection.execute(statement, letter).rowcount for letter in letters)
