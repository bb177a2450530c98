"""Columns: from which columns of the contract those of a staged row and of a decision come.

What the SELECT lists pass on; what the statements only ask is found in their text (reads). A test
traces each column through the statements and holds it against what is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reengage.campaigns import Campaign
from reengage.contract import Contract

PATIENT_KEY = "patient.patient_key"
_APPOINTMENT = "appointment.appointment_key"
_MEDICATION = "medication.medication_key"
_INSTANT = "timestamp with time zone"


@dataclass(frozen=True)
class Staged:
    """A column of a staged row."""

    type: str
    description: str
    sources: tuple[str, ...]
    """Columns of the contract that it is passed on from."""
    how: Literal["IDENTITY", "TRANSFORMATION"] = "IDENTITY"


EVIDENCE = (
    "appointment.location", "appointment.service_line", "authorization.authorization_key",
    "authorization.representative_key", "authorization.signed_at", "contact.bounced_at",
    "contact.confidential_channel", "contact.confidential_verified_at",
    "contact.reads_authenticated_encryption", "contact.smime_certificate", "contact.verified_at",
    "medication.sensitive_class", "opt_out.at", "patient.birth_date", "patient.death_date",
    "patient.language", PATIENT_KEY, "patient.time_zone", "programme.category",
    "restriction.since",
)  # fmt: skip
"""What is sealed with every decision: the rows that it rests on."""

PASSED_ON_ONLY = frozenset({"patient.language", "patient.time_zone"})
"""Columns that the extraction's SQL reads and that decide nothing."""

_ALWAYS = {
    "patient_key": Staged("text", "whom it is for", (PATIENT_KEY,)),
    "recipient": Staged(
        "text",
        "address to write to",
        ("contact.confidential_email", "contact.email", "representative.email"),
    ),
    "certificate": Staged("text", "certificate to seal it for", ("contact.smime_certificate",)),
    "reads_authenticated": Staged(
        "boolean",
        "whether their client reads authenticated encryption",
        ("contact.reads_authenticated_encryption",),
    ),
    # Another than the campaign speaks is replaced by its first, an unknown zone by the practice's.
    "language": Staged("text", "what to write in", ("patient.language",), "TRANSFORMATION"),
    "time_zone": Staged(
        "text", "whose clock opens the send window", ("patient.time_zone",), "TRANSFORMATION"
    ),
    "authorization_key": Staged(
        "text", "the form it rests on", ("authorization.authorization_key",)
    ),
}
# The campaign's period -> what says what the letter is about.
_PERIOD: Mapping[str, tuple[str, ...]] = {
    "appointment": (_APPOINTMENT,),
    "refill": (_MEDICATION, "medication.start_at"),
}
_EXPIRES: Mapping[str, tuple[str, ...]] = {"appointment": ("appointment.start_at",)}


def about(campaign: Campaign) -> tuple[str, ...]:
    """Key of what the campaign's letters are about; () = the calendar."""
    return _PERIOD.get(campaign.period, ())[:1]


def staged(campaign: Campaign, contract: Contract) -> dict[str, Staged]:
    """Every column of a staged row: the envelope's, and the declared fields'."""
    key, period = about(campaign), campaign.period
    found = dict(_ALWAYS)
    found["period_key"] = Staged(
        "text", "keyed: what is written once in", _PERIOD.get(period, ()), "TRANSFORMATION"
    )
    for one in (_APPOINTMENT, _MEDICATION):
        found[one.partition(".")[2]] = Staged(
            "text", "what it is about", (one,) if one in key else ()
        )
    found["expires_at"] = Staged(
        _INSTANT, "too late to send afterwards", _EXPIRES.get(period, ()), "TRANSFORMATION"
    )
    for source in campaign.sources():
        column = contract.column(source)
        found[source] = Staged(column.type, column.description, (source,))
    return found
