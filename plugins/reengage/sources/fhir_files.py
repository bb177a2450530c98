"""Files of a FHIR bulk export, line by line: one of any size costs the memory of a line.

A directory as a server's `$export` leaves it: NDJSON files whose names hold the type of their
resources (`Patient.ndjson`, `Patient.000.ndjson`, `1.Patient.ndjson`), and the manifest, if it was
kept, as `manifest.json` or `export.json`. Files of other types are not opened (PRV-18).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reengage.errors import SourceDataError
from reengage.sources.fhir_element import Element
from reengage.sources.fhir_models import require_known_meaning, require_valid

NEEDED = ("Patient", "Encounter", "Appointment", "MedicationRequest", "Consent")
"""Types without which patients would seem to have stopped coming, or nobody could be written to."""
WELCOME = ("RelatedPerson", "Location")
TYPES = (*NEEDED, *WELCOME)
MANIFESTS = ("manifest.json", "export.json")
MAX_LINE_BYTES = 16 * 1024 * 1024

_TYPE = re.compile(rf"(?:^|[^a-z])({'|'.join(TYPES)})(?:[^a-z]|$)", re.IGNORECASE)
_CANONICAL = {name.lower(): name for name in TYPES}


@dataclass(frozen=True)
class Export:
    """An export's files by type, and what its manifest says."""

    files: dict[str, tuple[Path, ...]]
    transaction_time: str | None
    counts: dict[str, int]
    """Resources per type, as far as the manifest counts them."""


def files_of(directory: Path) -> dict[str, list[Path]]:
    """The files of each type, in a fixed order."""
    files: dict[str, list[Path]] = {name: [] for name in TYPES}
    for path in sorted(directory.glob("*.ndjson")):
        if found := _TYPE.search(path.name.removesuffix(".ndjson")):
            files[_CANONICAL[found[1].lower()]].append(path)
    return files


def manifest_of(directory: Path) -> Path | None:
    """The export's manifest, if it was kept."""
    return next((path for name in MANIFESTS if (path := directory / name).is_file()), None)


def find_export(directory: Path) -> Export:
    """The export in `directory`.

    Raises SourceDataError when a type that is needed has no file, or the manifest says that this
    is not the whole of it.
    """
    files = files_of(directory)
    for name in NEEDED:
        if not files[name]:
            raise SourceDataError(
                f"{name}.ndjson is missing in {directory}; export it with the others, or put an"
                " empty file there if the practice has none"
            )
    time, counts = _manifest(directory, files)
    return Export({name: tuple(paths) for name, paths in files.items()}, time, counts)


def _manifest(directory: Path, files: dict[str, list[Path]]) -> tuple[str | None, dict[str, int]]:
    path = manifest_of(directory)
    if path is None:
        return None, {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise SourceDataError(f"{path.name}: not JSON; keep the manifest as it came") from None
    if not isinstance(content, dict):
        raise SourceDataError(f"{path.name}: no manifest; keep it as it came, or remove it")
    manifest = Element(content, path.name, 1, "manifest")
    if "_since=" in str(content.get("request")):
        raise manifest.fault("request", "an export of changes (_since); make a whole one")
    counts: dict[str, int] = {}
    uncounted = set()
    for output in manifest.each("output"):
        type_ = output.text("type") or ""
        if type_ not in TYPES:
            continue
        if not files[type_]:
            raise output.fault("type", f"no file of {type_} is there; fetch it too")
        count = output.number("count")
        counts[type_] = counts.get(type_, 0) + int(count or 0)
        if count is None:
            uncounted.add(type_)
    known = {name: count for name, count in counts.items() if name not in uncounted}
    return manifest.instant("transactionTime"), known


def read_resources(export: Export, type_: str) -> Iterator[Element]:
    """Every resource of a type, valid.

    Raises SourceDataError naming file, line, element and fix; also when the manifest counts more or
    fewer of them than there are.
    """
    read = 0
    for path in export.files[type_]:
        for resource in _read_file(path, type_):
            read += 1
            yield resource
    expected = export.counts.get(type_, read)
    if read != expected:
        raise SourceDataError(
            f"{', '.join(path.name for path in export.files[type_])}: {read} resources, the"
            f" manifest counts {expected}; fetch the files again"
        )


def _read_file(path: Path, type_: str) -> Iterator[Element]:
    with path.open("rb") as handle:
        number = 0
        while line := handle.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise SourceDataError(
                    f"{path.name} line {number}: longer than {MAX_LINE_BYTES >> 20} MiB;"
                    " write one resource a line, without attachments"
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _resource(path.name, number, line, type_)


def _resource(file: str, number: int, line: bytes, type_: str) -> Element:
    try:
        content = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise SourceDataError(f"{file} line {number}: not UTF-8; export it as UTF-8") from None
    except (ValueError, RecursionError):
        fault = (
            "not one JSON object; write one resource a line, each element once"
            if line.endswith(b"\n")
            else "the last line is cut short; fetch the file again, whole"
        )
        raise SourceDataError(f"{file} line {number}: {fault}") from None
    if not isinstance(content, dict):
        raise SourceDataError(f"{file} line {number}: no JSON object; write one resource a line")
    resource = Element(content, file, number, type_)
    if content.get("resourceType") != type_:
        raise resource.fault("resourceType", f"a file of {type_} holds nothing else; move it")
    if not resource.text("id"):
        raise resource.fault("id", "missing; a bulk export gives each resource its id")
    require_valid(resource, type_)
    require_known_meaning(resource)
    return resource


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse(constant: str) -> Any:
    raise ValueError  # NaN and Infinity are no JSON
