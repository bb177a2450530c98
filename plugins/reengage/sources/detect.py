"""Which source a directory is, told by the files in it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from reengage.errors import ConfigurationError
from reengage.sources.loading import Source

SIGNS = {"patients.csv": "synthea", "person.csv": "omop", "*.ndjson": "fhir"}
"""What gives a source away, in lower case -> the module below `sources` whose SOURCE it is."""


def source_of(directory: Path) -> Source:
    """The source in `directory`.

    Raises ConfigurationError when it is none that is known, or could be two.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is no directory; name the one that holds the export")
    present = {path.name.lower() for path in directory.iterdir()}
    present |= {f"*{Path(name).suffix}" for name in present}
    found = [sign for sign in SIGNS if sign in present]
    if len(found) != 1:
        seen = " and ".join(found) or "none of them"
        raise ConfigurationError(
            f"{directory} is no source that is known: expected one of patients.csv (Synthea),"
            f" PERSON.csv (OMOP), *.ndjson (FHIR R4), found {seen}; keep one export a directory"
        )
    # Looked up when needed: a FHIR validator takes long to import.
    source: Source = import_module(f"reengage.sources.{SIGNS[found[0]]}").SOURCE
    return source
