"""The sample warehouse: equal bytes for equal arguments, and a practice worth practising on."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import tracemalloc
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from databases import Makes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from questions import ask
from reengage import warehouse
from reengage.contract import load_contract
from reengage.errors import SourceDataError
from reengage.settings import HOME
from reengage.sources import loading, sample, synthea
from reengage.sources.csvfile import read_rows
from reengage.sql import load_sql
from sqlalchemy import create_engine, text

pytestmark = pytest.mark.long

DAY = date(2026, 1, 1)
FILES = {f"{name}.csv" for name in sample._HEADERS}


def write(directory: Path, patients: int, seed: int = 7, as_of: date = DAY) -> Path:
    sample.write_sample(directory, patients=patients, seed=seed, as_of=as_of)
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def rows(directory: Path, name: str) -> list[dict[str, str]]:
    with (directory / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_bytes_are_those_of_every_other_platform_and_day(tmp_path: Path) -> None:
    sums = hashlib.sha256()
    for _, data in sorted(content(write(tmp_path, 50)).items()):
        sums.update(data)
    # Who changes this changes everybody's sample.
    assert sums.hexdigest() == "7c8731c4afdd98cc83f41dc9f5011a73949e9ed98e410bba228138169964f95b"


def test_equal_arguments_give_equal_bytes_and_another_seed_or_day_others(tmp_path: Path) -> None:
    first = content(write(tmp_path / "a", 20))
    for _ in ("anew", "over what lies there"):
        assert content(write(tmp_path / "b", 20)) == first
    for options in ({"seed": 8}, {"as_of": date(2025, 1, 1)}):
        other = content(write(tmp_path / str(options), 20, **options))
        for name in ("patients.csv", "encounters.csv", "medications.csv"):
            assert other[name] != first[name]


def test_a_smaller_practice_is_the_beginning_of_a_bigger_one(tmp_path: Path) -> None:
    small = content(write(tmp_path / "small", 3))
    big = content(write(tmp_path / "big", 9))
    assert all(big[name].startswith(data) for name, data in small.items())


def test_the_files_are_headed_as_synthea_heads_them(tmp_path: Path, synthea: Path) -> None:
    write(tmp_path, 1)
    for name in FILES:
        with (synthea / name).open("rb") as real:
            assert (tmp_path / name).read_bytes().startswith(real.readline().rstrip() + b"\n"), name


@given(
    patients=st.integers(1, 12),
    seed=st.integers(),
    as_of=st.dates(date(1950, 1, 1), date(2198, 12, 31)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_sample_is_a_sound_export(
    tmp_path: Path, patients: int, seed: int, as_of: date
) -> None:
    write(tmp_path, patients, seed, as_of)
    for table in synthea.TABLES.values():
        list(read_rows(tmp_path, table))
    people = {row["Id"]: row for row in rows(tmp_path, "patients")}
    assert len(people) == patients
    visits = rows(tmp_path, "encounters")
    assert len({row["Id"] for row in visits}) == len(visits)
    for row in visits:
        patient = people[row["PATIENT"]]
        assert patient["BIRTHDATE"] < row["START"][:10] <= (patient["DEATHDATE"] or "9")
        assert row["START"] < row["STOP"]
    for one, next_one in pairwise(visits):
        assert one["PATIENT"] != next_one["PATIENT"] or one["START"] < next_one["START"]
    keys = {row["Id"] for row in visits}
    assert all(row["ENCOUNTER"] in keys for row in rows(tmp_path, "medications"))


# docs/sources.md, "What is drawn"
DOCUMENTED_SHARES = {
    "opt_in": 0.92, "incomplete": 0.02, "expired": 0.03, "revoked": 0.03, "marketing": 0.30,
    "verified": 0.96, "opted_out": 0.03, "restricted": 0.01, "confidential": 0.01,
    "programme": 0.02, "represented": 0.80, "blocked": 0.03,
}  # fmt: skip
SHARES = """
WITH seen AS (SELECT count(*) * 1.0 AS n FROM contract.contact),
signing AS (  -- by a parent, or as an adult
    SELECT count(*) * 1.0 AS n FROM contract.patient AS p
    WHERE EXISTS (SELECT 1 FROM contract.visit AS v WHERE v.patient_key = p.patient_key
                  AND v.start_at >= p.birth_date + INTERVAL '18 years 1 day')
       OR EXISTS (SELECT 1 FROM contract.representative AS r WHERE r.patient_key = p.patient_key)
),
email AS (SELECT * FROM contract.authorization WHERE purpose = 'email'),
forms AS (SELECT count(*) * 1.0 AS n FROM email)
SELECT
    (SELECT count(DISTINCT patient_key) FROM email) / signing.n AS opt_in,
    (SELECT count(*) FROM email WHERE recipient IS NULL) / forms.n AS incomplete,
    (SELECT count(*) FROM email WHERE expires_on IS NOT NULL) / forms.n AS expired,
    (SELECT count(revoked_at) FROM email) / forms.n AS revoked,
    (SELECT count(DISTINCT patient_key) FROM contract.authorization
     WHERE purpose = 'marketing') / signing.n AS marketing,
    (SELECT count(verified_at) FROM contract.contact) / seen.n AS verified,
    (SELECT count(*) FROM contract.opt_out) / seen.n AS opted_out,
    (SELECT count(*) FROM contract.restriction) / seen.n AS restricted,
    (SELECT count(confidential_channel) FROM contract.contact) / seen.n AS confidential,
    (SELECT count(*) FROM contract.patient WHERE sensitive_programme) / seen.n AS programme,
    (SELECT count(*) FROM contract.representative) / seen.n AS represented,
    (SELECT avg(CAST(blocked AS int)) FROM contract.representative) AS blocked
FROM seen CROSS JOIN signing CROSS JOIN forms WHERE forms.n > 0
"""


@pytest.mark.parametrize("patients", [1, 3, 5000])
def test_a_practice_of_any_size_loads_and_keeps_the_contract(
    tmp_path: Path, database: Makes, patients: int
) -> None:
    engine = create_engine(database(None))
    try:
        report = loading.load(engine, synthea.SOURCE, write(tmp_path, patients))
        assert report.tables["patients"] == patients
        assert warehouse.check(engine, load_contract(HOME)) == []
        with engine.connect() as connection:
            cohort = load_sql(HOME, "extract/parts/cohort.sql")
            [counts] = ask(
                connection,
                f"WITH {cohort} SELECT (SELECT count(*) FROM living) AS living,"
                " (SELECT count(*) FROM inactive) AS inactive, (SELECT count(DISTINCT patient_key)"
                " FROM inactive JOIN booked USING (patient_key)) AS booked",
                DAY,
            )
            living, inactive, booked = (int(str(count)) for count in counts.values())
            shares = connection.execute(text(SHARES)).mappings().first() or {}
    finally:
        engine.dispose()
    if patients == 5000:
        assert {name: float(share) for name, share in shares.items()} == pytest.approx(
            DOCUMENTED_SHARES, abs=0.015
        )
        assert 0.90 < living / patients < 0.99
        assert 0.25 < inactive / living < 0.35
        assert 0.10 < booked / inactive < 0.25


def test_every_campaign_finds_somebody_in_the_default_sample(tmp_path: Path) -> None:
    write(tmp_path, 500)
    people = rows(tmp_path, "patients")
    minors = [row for row in people if row["BIRTHDATE"] > "2008-01-01"]
    assert 0.15 < len(minors) / len(people) < 0.40
    assert {row["ETHNICITY"] for row in people} == {"hispanic", "nonhispanic"}
    assert len({row["STATE"] for row in people}) == len(sample._PLACES)
    medicines = rows(tmp_path, "medications")
    assert any(row["STOP"] for row in medicines)
    assert any(not row["STOP"] for row in medicines)
    assert any("Diazepam" in row["DESCRIPTION"] for row in medicines)  # a sensitive one


def test_memory_does_not_grow_with_the_practice(tmp_path: Path) -> None:
    peaks = []
    for patients in (20, 600):
        tracemalloc.start()
        write(tmp_path / str(patients), patients)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000


def test_another_export_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path, 3)
    real = rows(tmp_path, "payers")
    (tmp_path / "payers.csv").write_text(f"{','.join(real[0])}\n1,Medicare,GOVERNMENT\n")
    before = content(tmp_path)
    with pytest.raises(SourceDataError, match="holds an export that is no sample, nothing was wri"):
        write(tmp_path, 3)
    assert content(tmp_path) == before
    (tmp_path / "payers.csv").unlink()
    with pytest.raises(SourceDataError, match="name another directory"):
        write(tmp_path, 3)


def test_a_sample_that_was_killed_halfway_is_written_anew(tmp_path: Path) -> None:
    whole = content(write(tmp_path / "whole", 40))
    halfway = """
import os, sys
from datetime import date
from pathlib import Path
from reengage.sources import sample
real = sample._Patient.write
left = [25]
def write(patient, writers):
    real(patient, writers)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
sample._Patient.write = write
sample.write_sample(Path(sys.argv[1]), patients=40, seed=7, as_of=date(2026, 1, 1))
"""
    killed = subprocess.run(
        [sys.executable, "-c", halfway, str(tmp_path / "half")],
        env={"PYTHONPATH": str(HOME / "plugins")},
        check=False,
    )
    assert killed.returncode == -9
    assert content(tmp_path / "half") != whole
    assert content(write(tmp_path / "half", 40)) == whole


@pytest.mark.parametrize("as_of", [date(1, 1, 1), date(1949, 12, 31), date(2199, 1, 1), date.max])
def test_a_day_without_a_sound_sample_is_refused(tmp_path: Path, as_of: date) -> None:
    with pytest.raises(SourceDataError, match="in the years 1950 to 2198"):
        write(tmp_path / "never", 1, as_of=as_of)
    assert not (tmp_path / "never").exists()


def reengage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reengage", *arguments],
        env={"PYTHONPATH": str(HOME / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_writes_it(tmp_path: Path) -> None:
    made = tmp_path / "new" / "folder"
    done = reengage("sample", "--patients", "50", "--seed", "7", str(made))
    assert (done.returncode, done.stderr) == (0, "")
    assert content(made) == content(write(tmp_path / "same", 50))
    assert set(content(made)) == FILES


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--patients", "0"], "expected a number of 1 or more"),
        (["--patients", "many"], "expected a number of 1 or more"),
        (["--seed", "x"], "invalid int value"),
        (["--as-of", "1.6.2023"], "write a day as YYYY-MM-DD"),
    ],
)
def test_the_command_names_a_wrong_argument(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = reengage("sample", *arguments, str(tmp_path / "never"))
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "never").exists()
