"""FHIR R4: a bulk export in NDJSON files becomes the contract's views.

Each resource is validated, mapped to rows and forgotten; what the contract does not need, and files
of other types, are not loaded at all (PRV-18). docs/sources.md says column by column where a value
comes from, docs/adr/0011-what-fhir-cannot-say.md what is done where R4 has no place for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from reengage.sources.fhir_care import (
    appointment_rows,
    encounter_rows,
    location_rows,
    medication_request_rows,
)
from reengage.sources.fhir_consent import COLUMNS, FLAGS, consent_rows
from reengage.sources.fhir_element import Element
from reengage.sources.fhir_files import (
    TYPES,
    Export,
    files_of,
    find_export,
    manifest_of,
    read_resources,
)
from reengage.sources.fhir_people import patient_rows, related_person_rows
from reengage.sources.loading import Source, Table

Rows = Callable[[Element, date], Iterator[list[Any]]]

TABLES: dict[str, tuple[str, str, Rows]] = {
    "Patient": (
        "patients",
        "id given_name birth_date death_date language state zip categories email verified_at"
        " confidential_channel confidential_email confidential_verified_at bounced_at set_aside",
        patient_rows,
    ),
    "RelatedPerson": (
        "related_persons",
        "id patient authority email verified_at limited_by blocked",
        related_person_rows,
    ),
    "Location": ("locations", "id label categories", location_rows),
    "Encounter": (
        "encounters",
        "id patient status start_at end_at service_line categories",
        encounter_rows,
    ),
    "Appointment": (
        "appointments",
        "id key patient status booked_at start_at location location_label service_line categories",
        appointment_rows,
    ),
    "MedicationRequest": (
        "medication_requests",
        "id patient name said instruction start_at end_at lapsed_on label",
        medication_request_rows,
    ),
    "Consent": (
        "consents",
        " ".join(["id patient kind said_at until", *COLUMNS, *FLAGS]).replace("-", "_"),
        consent_rows,
    ),
}
"""Type -> its table, the columns of a row, and what makes rows of a resource."""


def _tables(directory: Path) -> Iterator[Table]:
    export = find_export(directory)
    today = datetime.now(UTC).date()  # by which a name, an address or a telephone is still in use
    for type_ in TYPES:
        name, columns, make = TABLES[type_]
        yield Table(
            name,
            ("file", "line", "updated", *columns.split()),
            _rows(export, type_, make, today),
            ", ".join(path.name for path in export.files[type_]) or f"{type_}.ndjson",
        )
    manifest = manifest_of(directory)
    times = [[export.transaction_time]] if export.transaction_time else []
    origin = manifest.name if manifest else "manifest.json"
    yield Table("manifest", ("transaction_time",), times, origin)


def _rows(export: Export, type_: str, make: Rows, today: date) -> Iterator[list[Any]]:
    for resource in read_resources(export, type_):
        updated = resource.one("meta").instant("lastUpdated")
        for row in make(resource, today):
            yield [resource.file, resource.line, updated, *row]


def _files(directory: Path) -> list[Path]:
    found = [path for paths in files_of(directory).values() for path in paths]
    manifest = manifest_of(directory)
    return [*found, manifest] if manifest else found


SOURCE = Source("fhir", _tables, _files, place="element")
