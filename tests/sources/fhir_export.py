"""A FHIR R4 bulk export, written from plain dictionaries.

export = FhirExport(directory)
export.add(patient("p1"), visit("p1"), consent("p1"))     # any resources, sound or not
export.write()     # a file per type; of the five needed ones always
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reengage.sources.fhir_element import BASE
from reengage.sources.fhir_files import NEEDED

Resource = dict[str, Any]

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
PURPOSE = "https://reengage.example.org/fhir/CodeSystem/consent-purpose"
SIGNED = "2021-03-04T15:00:00Z"


@dataclass
class FhirExport:
    """Resources in the order in which they are written."""

    directory: Path
    resources: list[Resource] = field(default_factory=list)

    def add(self, *resources: Resource) -> FhirExport:
        self.resources += resources
        return self

    def write(self) -> FhirExport:
        self.directory.mkdir(parents=True, exist_ok=True)
        lines: dict[str, list[str]] = {name: [] for name in NEEDED}
        for resource in self.resources:
            lines.setdefault(resource["resourceType"], []).append(json.dumps(resource) + "\n")
        for name, written in lines.items():
            self.path(name).write_text("".join(written), encoding="utf-8")
        return self

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.ndjson"


def practice(directory: Path, patients: int) -> FhirExport:
    """A sound export of that many patients, each with one of everything."""
    export = FhirExport(directory).add(location("clinic"))
    for number in range(patients):
        key = f"p{number}"
        export.add(patient(key), visit(key), appointment(key), prescription(key), consent(key))
    return export.write()


def ours(name: str, **value: object) -> Resource:
    """An extension of ours: ours("email-verified", valueDateTime=...)."""
    return {"url": BASE + name, **value}


def label(code: str, system: str = ACT_CODE) -> Resource:
    """A `meta` with one security label."""
    return {"security": [{"system": system, "code": code}]}


def email(value: str, *, verified: str | None = "2021-01-02T03:04:05Z", **more: Any) -> Resource:
    extensions = [ours("email-verified", valueDateTime=verified)] if verified else []
    extensions += more.pop("extension", [])
    return {"system": "email", "value": value, **_some(extension=extensions), **more}


def patient(key: str, **more: Any) -> Resource:
    made = {
        "resourceType": "Patient",
        "id": key,
        "name": [{"use": "official", "family": "Garner", "given": ["Ana", "Maria"]}],
        "birthDate": "1980-05-06",
        "telecom": [email(f"{key}@example.org")],
        "address": [{"use": "home", "state": "NE", "postalCode": "68102", "country": "US"}],
        "communication": [{"language": {"coding": [{"code": "en-US"}]}, "preferred": True}],
    }
    return _changed(made, more)


def visit(key: str, start: str = "2021-02-03T10:00:00-06:00", **more: Any) -> Resource:
    made = {
        "resourceType": "Encounter",
        "id": f"visit-{key}",
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "AMB", "display": "ambulatory"},
        "subject": {"reference": f"Patient/{key}"},
        "period": {"start": start},
    }
    return _changed(made, more)


def appointment(key: str, **more: Any) -> Resource:
    made = {
        "resourceType": "Appointment",
        "id": f"booking-{key}",
        "status": "booked",
        "created": "2023-05-20T09:00:00Z",
        "start": "2023-06-15T14:00:00Z",
        "end": "2023-06-15T14:20:00Z",
        "participant": [actor(f"Patient/{key}"), actor("Location/clinic")],
    }
    return _changed(made, more)


def actor(reference: str, *, status: str = "accepted", **more: Any) -> Resource:
    return {"actor": {"reference": reference, **more}, "status": status}


def location(key: str, **more: Any) -> Resource:
    made = {
        "resourceType": "Location",
        "id": key,
        "name": "Cedar Hill",
        "address": {"line": ["12 Summit Avenue"], "city": "Topeka"},
    }
    return _changed(made, more)


def prescription(key: str, **more: Any) -> Resource:
    made = {
        "resourceType": "MedicationRequest",
        "id": f"drug-{key}",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "lisinopril 10 MG Oral Tablet"},
        "subject": {"reference": f"Patient/{key}"},
        "authoredOn": "2021-02-03",
        "dosageInstruction": [{"text": "one a day"}],
    }
    return _changed(made, more)


def consent(key: str, purpose: str = "email", **more: Any) -> Resource:
    made = {
        "resourceType": "Consent",
        "id": f"form-{key}",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": PURPOSE, "code": purpose}]}],
        "patient": {"reference": f"Patient/{key}"},
        "dateTime": SIGNED,
        "performer": [{"reference": f"Patient/{key}"}],
        "policy": [{"uri": "https://prairie.example.org/forms/email-3"}],
        "provision": {"type": "permit", "period": {"end": "2030-01-02"}},
        "extension": [
            ours("consent-information", valueString="reminders"),
            ours("consent-discloser", valueString="the practice"),
            ours("consent-recipient", valueString="the patient"),
            ours("consent-purpose", valueString="care"),
            *(
                ours(f"consent-{name}", valueBoolean=name.startswith("notice"))
                for name in (
                    "notice-revocation",
                    "notice-conditioning",
                    "notice-redisclosure",
                    "compound",
                    "conditioned",
                )
            ),
        ],
    }
    return _changed(made, more)


def related(key: str, role: str = "MTH", **more: Any) -> Resource:
    made = {
        "resourceType": "RelatedPerson",
        "id": f"parent-{key}",
        "patient": {"reference": f"Patient/{key}"},
        "relationship": [{"coding": [{"system": ROLE_CODE, "code": role}]}],
        "telecom": [email(f"parent.{key}@example.org")],
    }
    return _changed(made, more)


def _changed(made: Resource, more: Resource) -> Resource:
    """With other elements; one that is None is left out. `class_` stands for `class`."""
    changed = made | {name.removesuffix("_"): value for name, value in more.items()}
    return {name: value for name, value in changed.items() if value is not None}


def _some(**more: Any) -> Resource:
    return {name: value for name, value in more.items() if value}
