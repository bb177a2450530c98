"""Letter: compose the letters of one chunk, sealed, with a Message-ID that a retry repeats.

Takes staged rows, leaves rows of the outbox in state `composed`. Refuses an undefined field, a
header that data could break out of, a row whose columns are not the declared ones. A letter that
exists for the campaign, patient and period is never composed a second time, whoever asks. Whose
certificate ran out or was revoked since the decision gets none, and stops nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from reengage import staging
from reengage.errors import LetterError
from reengage.keys import DataKey
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.composing import Wording, identity_of, message_id, said_in, wordings
from reengage.pipeline.decide import recipient_pseudonym
from reengage.pipeline.extract import ENVELOPE
from reengage.pipeline.plan import Chunk
from reengage.pipeline.recalled import take_up
from reengage.pipeline.run import Run
from reengage.pipeline.seal import seal_letter
from reengage.pipeline.trail import complete
from reengage.pipeline.variants import variants_of
from reengage.pipeline.ways import choose_way, means_of
from reengage.pipeline.wishes import NONE, Wish, open_address, wishes
from reengage.sealing.certificates import CertificateFault
from reengage.sealing.way import Means, NoWay
from reengage.templates import format_field

STANDING = (
    "appointment.start_at", "appointment.location", "medication.name", "medication.dosage_text",
)  # fmt: skip
"""Columns that a letter may not tell otherwise than the warehouse does when it is sent."""


def write_letters(run: Run, chunk: Chunk) -> int:
    """Compose the chunk's letters; gives how many are new. Repeating it composes none twice."""
    key = run.data_key
    words = wordings(run)
    written = 0
    with run.store.connect() as connection:
        means, variants = means_of(connection, run), variants_of(connection, run)
        parts = range(chunk["first"], chunk["last"] + 1)
        for number, rows in enumerate(staging.read_parts(connection, key, parts)):
            if number:  # the part before; the last one commits with the task's end
                connection.commit()
            patients = [run.pseudonym(row["patient_key"]) for row in rows]
            due = _due(connection, run, patients)
            drawn = variants.of(connection, due)
            asked = wishes(connection, run.settings.home, patients)
            letters = [
                found
                for row, patient in zip(rows, patients, strict=True)
                if patient in due
                if (wished := _as_wished(connection, run, row, asked.get(patient, NONE)))
                if (
                    found := _outbox_row(
                        connection, run, key, chunk, wished, words, means, drawn[patient]
                    )
                )
            ]
            written += _insert(connection, run, letters)
            take_up(connection, run, [letter["message_id"] for letter in letters])
        complete(connection, run, rows={"letters": written})
        connection.commit()
    return written


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


def _as_wished(
    connection: Connection, run: Run, row: staging.Row, wish: Wish
) -> staging.Row | None:
    """The row with the language and address that its patient asked for (PRV-21).

    None where the store has lost the address: nothing goes to another one.
    """
    wished = dict(row)
    if wish.language in run.campaign.languages:
        wished["language"] = wish.language
    on_file = recipient_pseudonym(run, row["recipient"])
    if wish.recipient_for(on_file) != on_file:
        patient = run.pseudonym(row["patient_key"])
        if wish.sealed is None:
            _exclude(connection, run, patient, "address_lost")
            return None
        wished["recipient"] = open_address(run.keyring, patient, wish.sealed)
    return wished


def _outbox_row(
    connection: Connection,
    run: Run,
    key: DataKey,
    chunk: Chunk,
    row: staging.Row,
    words: Mapping[str, Wording],
    means: Means,
    variant: str | None,
) -> dict[str, object] | None:
    """The letter's row; None for who can no longer be written to: they are decided anew."""
    if set(row) != {*ENVELOPE, *run.campaign.sources()}:
        raise LetterError(
            "a staged row does not have exactly the declared columns; clear `extract`"
        )
    patient = run.pseudonym(row["patient_key"])
    wording = words[said_in(row["language"], variant)]
    identity = identity_of(run.campaign.slug, patient, row["period_key"])
    letter = _letter(run, row, identity, wording, means, variant)
    if isinstance(letter, NoWay):
        _exclude(connection, run, patient, letter.reason)
        return None
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
        "sealed": key.seal(letter.to_bytes(), bound_to=f"letter/{identity}"),
        "template_sha256": wording.letter.digest,
        "expires_at": row["expires_at"],
        "recipient_id": recipient_pseudonym(run, row["recipient"]),
        "authorization_id": _authorization_id(run, row["authorization_key"]),
        "seal": letter.way.mode,
        "seal_basis": letter.way.basis,
    }


def _letter(
    run: Run,
    row: staging.Row,
    identity: str,
    wording: Wording,
    means: Means,
    variant: str | None,
) -> Addressed | NoWay:
    """The finished letter; why there is none, where a certificate ran out since the decision."""
    recipient = row["recipient"]
    declared = format_declared(run, row, row["language"])
    chosen = choose_way(
        run,
        means,
        run.smime_trust,
        address=recipient,
        certificate=row["certificate"],
        reads_authenticated=row["reads_authenticated"],
    )
    if isinstance(chosen.way, NoWay):
        return chosen.way
    try:
        sealed = seal_letter(
            run, wording, declared, recipient, identity, chosen.way, chosen.certificate
        )
    except CertificateFault as fault:
        return NoWay(fault.code)
    return Addressed(
        row["patient_key"],
        recipient,
        row["language"],
        declared,
        sealed.message,
        sealed.way,
        certificate=sealed.certificate,
        signed_by=sealed.signed_by,
        content_key=sealed.content_key,
        deposit=sealed.deposit,
        portal_url=sealed.portal_url,
        appointment_key=row.get("appointment_key"),
        medication_key=row.get("medication_key"),
        says={column: comparable(row[column]) for column in STANDING if column in row},
        time_zone=row["time_zone"],
        variant=variant,
    )


def _exclude(connection: Connection, run: Run, patient: str, reason: str) -> None:
    """One patient's certificate stops nobody else: the day's decision about them is another now."""
    connection.execute(
        text(
            "UPDATE decision SET reasons = ARRAY[CAST(:reason AS text)], arm = NULL"
            " WHERE run_id = :run_id AND campaign_date = :day AND patient = :patient"
        ),
        {"reason": reason, "run_id": run.run_id, "day": run.day, "patient": patient},
    )


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
    return connection.execute(statement, letters).rowcount
