"""Gate: a batch is looked at in frames, each of whose rows counts, and memory holds two of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import ReferenceType, ref

import pandas as pd
import pytest
from daily import Practice
from gates import assert_red, emptied, extracted, gate_practice, tampered, verdicts
from reengage import checks, staging
from reengage.embedded import postgres
from reengage.pipeline import gate as gates
from reengage.pipeline.gate import gate


@pytest.fixture(scope="module")
def shared(
    server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Practice]:
    with gate_practice(server, tmp_path_factory.mktemp("gate")) as practice:
        yield practice


@pytest.fixture
def practice(shared: Practice) -> Practice:  # the practice of conftest, but cheaper
    return emptied(shared)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patients a frame, one a part."""
    monkeypatch.setattr(staging, "PART_PATIENTS", 1)
    monkeypatch.setattr(gates, "FRAME_PARTS", 2)


@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_bad_row_in_any_frame_of_a_large_batch_is_seen(position: int, practice: Practice) -> None:
    run, _ = extracted(practice, patients=5)
    assert gate(run) == len(verdicts(practice, run))

    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[position]["language"] = None
        return rows

    tampered(run, spoil)
    assert_red(practice, run, {"batch language not_be_null"})


def test_a_patient_staged_twice_is_seen_across_frames(practice: Practice) -> None:
    run, _ = extracted(practice, patients=4)
    tampered(run, lambda rows: [*rows, rows[0]])
    assert_red(practice, run, {"cohort patient_key be_unique"})


def test_no_more_than_two_frames_are_in_memory(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = extracted(practice, patients=9)
    seen: list[ReferenceType[pd.DataFrame]] = []
    check = checks.check_frame

    def watched(suite: checks.Suite, frame: pd.DataFrame, *rest: Any) -> list[checks.Verdict]:
        seen.append(ref(frame))
        assert [one() is not None for one in seen[:-2]] == [False] * (len(seen) - 2)
        return check(suite, frame, *rest)

    monkeypatch.setattr(checks, "check_frame", watched)
    gc.disable()  # what is let go without being asked, is let go by chance
    try:
        gate(run)
    finally:
        gc.enable()
    assert len(seen) == 5
