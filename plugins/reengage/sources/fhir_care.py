"""Encounter, Appointment, MedicationRequest and Location as rows: what care there was and will be.

What was entered in error is left out. Who might have been seen counts as seen: a patient who is
taken for one who stopped coming, and has not, is written to in vain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from reengage.sources.fhir_element import Element
from reengage.sources.fhir_instruction import is_mailable
from reengage.sources.fhir_labels import categories

Row = list[Any]

VISITS = {
    "planned": "planned",
    "arrived": "finished", "triaged": "finished", "in-progress": "finished",
    "onleave": "finished", "finished": "finished", "unknown": "finished",
    "cancelled": "cancelled",
    "entered-in-error": None,
}  # fmt: skip
APPOINTMENTS = {
    "pending": "booked", "booked": "booked", "arrived": "booked", "checked-in": "booked",
    "fulfilled": "booked",
    "cancelled": "cancelled", "noshow": "cancelled", "entered-in-error": "cancelled",
    "proposed": None, "waitlist": None,
}  # fmt: skip
PARTICIPATION = ("accepted", "declined", "tentative", "needs-action")
REQUESTS = {
    "active": "open",
    "on-hold": "ended", "cancelled": "ended", "completed": "ended", "stopped": "ended",
    "entered-in-error": None, "draft": None, "unknown": None,
}  # fmt: skip
INTENTS = {
    "order": True, "original-order": True, "reflex-order": True,
    "proposal": False, "plan": False, "filler-order": False, "instance-order": False,
    "option": False,
}  # fmt: skip
UNFIT = ""
"""The instruction of a medicine that no letter may show: its dosage is then empty, and whoever
takes it is excluded as `field_unusable`, and counted."""
_DAYS = {"h": 1 / 24, "d": 1.0, "wk": 7.0, "mo": 30.0, "a": 365.0}
"""Days of a unit of UCUM; a month is short, so that a supply is not taken for longer than it is."""


def encounter_rows(resource: Element, today: date) -> Iterator[Row]:
    """The one row of table `encounters`, or none."""
    status = VISITS[resource.code("status", VISITS) or "unknown"]
    if status is None:
        return
    period = resource.one("period")
    start, end = period.instant("start"), period.instant("end")
    if start is None:
        if status == "finished":
            raise period.fault("start", "missing; a visit needs the day on which it was")
        return
    patient = _subject(resource)
    if end is not None and datetime.fromisoformat(end) < datetime.fromisoformat(start):
        raise period.fault("end", "before start; mend one of them")
    line = _words(resource.one("serviceType")) or _coding_words(resource.one("class"))
    yield [resource.text("id"), patient, status, start, end, line, categories(resource)]


def _subject(resource: Element) -> str:
    patient = resource.reference("subject", "Patient")
    if patient is None:
        raise resource.fault("subject", "no reference to a Patient; give one, or leave this out")
    return patient


def appointment_rows(resource: Element, today: date) -> Iterator[Row]:
    """A row of table `appointments` for each patient who takes part."""
    status = APPOINTMENTS[resource.code("status", APPOINTMENTS) or "proposed"]
    patients, place = _participants(resource)
    if status is None or not patients:
        return
    start = resource.instant("start")
    if start is None:
        if status == "booked":
            raise resource.fault("start", "missing; who is booked is booked for a day")
        return
    line = next((w for one in resource.each("serviceType") if (w := _words(one))), None)
    id_ = resource.text("id")
    for patient, declined in patients:
        key = id_ if len(patients) == 1 else f"{id_}/{patient}"
        yield [
            id_, key, patient, "cancelled" if declined else status, resource.instant("created"),
            start, *place, line, categories(resource),
        ]  # fmt: skip


def _participants(
    resource: Element,
) -> tuple[list[tuple[str, bool]], tuple[str | None, str | None]]:
    """Patients, each with whether they declined; and where: id and words of the location."""
    patients: dict[str, bool] = {}
    place: tuple[str | None, str | None] = (None, None)
    for one in resource.each("participant"):
        declined = one.code("status", PARTICIPATION) == "declined"
        if patient := one.reference("actor", "Patient"):
            patients[patient] = declined
        elif (location := one.reference("actor", "Location")) and place == (None, None):
            place = (location, one.one("actor").text("display"))
    return list(patients.items()), place


def location_rows(resource: Element, today: date) -> Iterator[Row]:
    """The one row of table `locations`: name, first line and city, as a patient would read it."""
    address = resource.one("address")
    parts = [resource.text("name"), next(iter(address.texts("line")), None), address.text("city")]
    label = ", ".join(part for part in parts if part) or address.text("text")
    yield [resource.text("id"), label, categories(resource)]


def medication_request_rows(resource: Element, today: date) -> Iterator[Row]:
    """The one row of table `medication_requests`, or none."""
    status = REQUESTS[resource.code("status", REQUESTS) or "unknown"]
    intent = INTENTS[resource.code("intent", INTENTS) or "option"]
    if status is None or not intent or resource.flag("doNotPerform"):
        return
    patient = _subject(resource)
    dispense = resource.one("dispenseRequest")
    validity = dispense.one("validityPeriod")
    start = resource.instant("authoredOn") or validity.instant("start")
    if start is None:
        raise resource.fault("authoredOn", "missing; give the day of the prescription")
    name, searched = _medicine(resource)
    instruction = next(
        (t for d in resource.each("dosageInstruction") if (t := d.text("text"))), None
    )
    if not is_mailable(name, instruction):
        # Searched for a sensitive medicine, and shown to nobody.
        searched, instruction = f"{searched} {instruction or ''}", UNFIT
    end = _course_end(resource, start)
    if status == "ended":
        # R4 has no place for when; the earliest moment that the resource allows.
        changed = resource.one("meta").instant("lastUpdated")
        end = min([at for at in (end, changed) if at] or [start], key=datetime.fromisoformat)
    yield [
        resource.text("id"), patient, name, searched, instruction, start, end,
        _lapse(dispense, start), next(iter(categories(resource)), None),
    ]  # fmt: skip


def _medicine(resource: Element) -> tuple[str, str]:
    """The medicine's name, and all that is said of it, in which a sensitive one is looked for."""
    concept = resource.one("medicationCodeableConcept")
    if not concept.content:
        reference = resource.one("medicationReference")
        target = reference.content.get("reference")
        for held in resource.each("contained"):
            if target == f"#{held.content.get('id')}":
                concept = held.one("code")
        name = _words(concept) or reference.text("display")
    else:
        reference, name = concept, _words(concept)
    if name is None:
        raise resource.fault(
            "medicationCodeableConcept", "no name; give a text, or a display of a coding"
        )
    said = [name, concept.text("text"), reference.text("display")]
    said += [coding.text("display") for coding in concept.each("coding")]
    return re.sub(r"\s+", " ", name), " ".join(dict.fromkeys(part for part in said if part))


def _course_end(resource: Element, start: str) -> str | None:
    """When the last of the instructions is over; None when one of them has no end."""
    ends = []
    for instruction in resource.each("dosageInstruction"):
        repeat = instruction.one("timing").one("repeat")
        end = repeat.one("boundsPeriod").instant("end")
        if end is None and (days := _days(repeat.one("boundsDuration"))) is not None:
            end = (datetime.fromisoformat(start) + timedelta(days=days)).isoformat()
        ends.append(end)
    known = [end for end in ends if end]
    return max(known, key=datetime.fromisoformat) if known and len(known) == len(ends) else None


def _lapse(dispense: Element, start: str) -> date | None:
    """The day on which the prescription or its supply runs out, the earlier of both (PRV-10)."""
    found = [dispense.one("validityPeriod").day("end")]
    days = _days(dispense.one("expectedSupplyDuration"))
    if days is not None:
        fills = 1 + (dispense.number("numberOfRepeatsAllowed") or 0)
        found.append(date.fromisoformat(start[:10]) + timedelta(days=int(days * fills)))
    return min((day for day in found if day), default=None)


def _days(duration: Element) -> float | None:
    value, unit = duration.number("value"), duration.text("code") or duration.text("unit")
    if value is None:
        return None
    if unit not in _DAYS:
        raise duration.fault("code", f"expected one of {', '.join(_DAYS)}")
    return min(value * _DAYS[unit], 36_500.0)


def _words(concept: Element) -> str | None:
    """What a CodeableConcept says to a reader."""
    displays = (coding.text("display") for coding in concept.each("coding"))
    return concept.text("text") or next((words for words in displays if words), None)


def _coding_words(coding: Element) -> str | None:
    return coding.text("display") or coding.text("code")
