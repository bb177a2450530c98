"""Preview: one patient's letter as it would look today, for who may see it, on record.

The same statement decides and the same template speaks as in a run; nothing is kept, sealed or
sent. Who looks is in the ledger before a patient is read (SEC-15): what cannot be recorded is not
shown. Who is no candidate, or excluded, has no letter, and the reasons are told instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text

from reengage import store
from reengage.campaigns import load_campaign
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.asking import asking
from reengage.pipeline.composing import identity_of, links_of, render, said_in, wordings
from reengage.pipeline.extract import candidate_statement
from reengage.pipeline.letter import format_declared
from reengage.pipeline.run import Run, local_day
from reengage.pipeline.variants import variants_of
from reengage.pipeline.wishes import NONE, wishes
from reengage.settings import Settings

_NO_RUN = UUID(int=0)


@dataclass(frozen=True)
class Preview:
    """What a patient would read; `letter` is None where none would be written."""

    campaign: str
    reasons: Sequence[str]
    """Why there is no letter, codes of reasons.py; empty where the patient is no candidate."""
    letter: Letter | None = field(repr=False)


@dataclass(frozen=True)
class Letter:
    """As it would be composed."""

    language: str
    variant: str | None
    template_sha256: str
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)


def preview(
    settings: Settings,
    slug: str,
    patient_key: str,
    *,
    by: str,
    day: date | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Preview:
    """The letter of today, or as of the end of another day.

    Raises ConfigurationError, and LedgerError where the reading cannot be recorded.
    """
    campaign = load_campaign(settings.home, slug)
    run = Run(_NO_RUN, day or local_day(settings.now(), campaign), "replay", campaign, settings)
    patient = run.pseudonym(patient_key)
    with run.store.begin() as connection:
        store.require_keyring(connection, run.keyring)
        said = {
            "campaign": slug, "patient": patient, "day": run.day.isoformat(),
            "pseudonym_key": run.keyring.pseudonym_key_name, **(detail or {}),
        }  # fmt: skip
        append(connection, run.keyring, [
            access(actor=by, action="opened", of="preview", detail=said),
        ])  # fmt: skip
    row = _row(run, patient_key)
    if row is None or row["reasons"]:
        return Preview(slug, tuple(row["reasons"]) if row else (), None)
    return Preview(slug, (), _letter(run, patient, row))


def _row(run: Run, patient_key: str) -> dict[str, Any] | None:
    statement = candidate_statement(run.campaign, run.contract, run.settings.home)
    with run.warehouse.connect() as connection:
        found = connection.execute(
            text(f"SELECT * FROM ({statement}) AS c WHERE c.patient_key = :patient_key"),  # noqa: S608 - ours
            {**asking(run), "patient_key": patient_key},
        ).mappings()
        row = found.first()
    return dict(row) if row else None


def _letter(run: Run, patient: str, row: Mapping[str, Any]) -> Letter:
    with run.store.connect() as connection:
        wish = wishes(connection, run.settings.home, [patient]).get(patient, NONE)
        variant = variants_of(connection, run).draw(patient)
    asked = wish.language if wish.language in run.campaign.languages else None
    language = asked or row["language"]
    template = wordings(run)[said_in(language, variant)].letter
    identity = identity_of(run.campaign.slug, patient, row["period_key"])
    declared = format_declared(run, dict(row), language)
    said = render(run, template, declared, links_of(run, identity))
    return Letter(language, variant, template.digest, said.subject, said.text, said.html)
