"""Which source a directory is."""

from __future__ import annotations

from pathlib import Path

import pytest
from reengage.errors import ConfigurationError
from reengage.sources.detect import source_of


@pytest.mark.parametrize(
    ("file", "name"),
    [("patients.csv", "synthea"), ("PERSON.csv", "omop"), ("person.csv", "omop")],
)
def test_a_file_gives_a_source_away(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).touch()
    assert source_of(tmp_path).name == name


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "found none of them"),
        (["people.csv"], "found none of them"),
        (["patients.csv", "PERSON.csv"], r"found patients\.csv and person\.csv; keep one export a"),
    ],
)
def test_none_or_two_is_told_with_the_way_out(tmp_path: Path, files: list[str], told: str) -> None:
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(ConfigurationError, match=told):
        source_of(tmp_path)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no directory"):
        source_of(tmp_path / "nowhere")
