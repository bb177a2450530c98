"""One byte string for each value: RFC 8785's public vectors, and what append refuses (LOG-04)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from made import Ledger, access
from reengage.errors import LedgerError
from reengage.ledger import records
from reengage.ledger.canonical import DEEPEST, LARGEST, canonical, instant
from reengage.ledger.records import Record

VECTORS = ("arrays", "french", "unicode", "weird")
FRACTIONS = {"structures": r"\$\.1\.<name withheld>", "values": r"\$\.numbers\[0\]"}


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize("name", VECTORS)
def test_public_vectors(name: str, jcs: Path) -> None:
    value = json.loads((jcs / "input" / f"{name}.json").read_text("utf-8"))
    assert canonical(value) == (jcs / "output" / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", FRACTIONS)
def test_a_public_vector_with_fractions_is_the_librarys_and_refused_by_the_ledger(
    name: str, jcs: Path
) -> None:
    value = json.loads((jcs / "input" / f"{name}.json").read_text("utf-8"))
    assert rfc8785.dumps(value) == (jcs / "output" / f"{name}.json").read_bytes()
    with pytest.raises(LedgerError, match=f"^{FRACTIONS[name]} is a number that is no integer"):
        canonical(value)


def test_no_vector_is_forgotten(jcs: Path) -> None:
    assert {path.stem for path in (jcs / "input").iterdir()} == {*VECTORS, *FRACTIONS}


def test_members_are_in_order_of_their_utf16_code_units() -> None:
    value = {"\ue000": 1, "\U00010000": 2}
    assert canonical(value) == '{"\U00010000":2,"\ue000":1}'.encode()
    by_code_points = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert canonical(value) != by_code_points.encode()


def test_integers_have_one_spelling() -> None:
    assert canonical([-0, LARGEST, -LARGEST]) == b"[0,9007199254740991,-9007199254740991]"


BODY = {"actor": "a", "action": "b", "of": "c"}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"x": float("nan")}, r"\$\.detail\.x is a number that is no integer"),
    "infinity": ({"x": float("inf")}, r"\$\.detail\.x is a number that is no integer"),
    "a float": ({"x": [1, 1.5]}, r"\$\.detail\.x\[1\] is a number that is no integer"),
    "minus nought": ({"x": -0.0}, r"\$\.detail\.x is a number that is no integer"),
    "a huge integer": ({"x": 2**53}, r"\$\.detail\.x is an integer beyond"),
    "a very huge integer": ({"x": -(10**5000)}, r"\$\.detail\.x is an integer beyond"),
    "a lone surrogate": ({"x": "a\ud800"}, r"\$\.detail\.x holds a lone surrogate"),
    "a NUL": ({"x": "a\0"}, r"\$\.detail\.x holds a NUL"),
    "a surrogate in a name": ({"\udc00": 1}, r"\$\.detail has a member whose name holds a lone"),
    "a NUL in a name": ({"\0": 1}, r"\$\.detail has a member whose name holds a NUL"),
    "bytes": ({"x": b"a"}, r"\$\.detail\.x is of type bytes"),
    "a set": ({"x": {1}}, r"\$\.detail\.x is of type set"),
    "a decimal": ({"x": Decimal(1)}, r"\$\.detail\.x is of type Decimal"),
    "a path": ({"x": Path("a")}, r"\$\.detail\.x is of type \w*Path"),
    "a name that is no text": ({1: 2}, r"\$\.detail has a member whose name is of type int"),
    "deep nesting": ({"x": nested(DEEPEST)}, r"\$\.detail\.x(\[0\])+ lies deeper than 64 levels"),
    "a value as a name": ({"Ann M": {"x": 1.5}}, r"\$\.detail\.<name withheld>\.x is a number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_no_canonical_form_is_refused_with_its_path_and_nothing_is_appended(
    fault: str, ledger: Ledger
) -> None:
    detail, said = FAULTS[fault]
    good, bad = access("good"), Record("access", {**BODY, "detail": detail})
    with pytest.raises(LedgerError, match=f"^record 1 of access: {said}.*nothing was appended$"):
        ledger.append(good, bad)
    assert ledger.rows() == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record("run_event", {"run": {"facets": {}}}), r"\$\.run\.runId is no text"),
        (Record("run_event", {"run": None}), r"\$\.run\.runId is no text"),
        (Record("access", {**BODY, "actor": 7}), r"\$\.actor is no text"),
        (Record("gossip", BODY), "its kind is unknown"),  # type: ignore[arg-type]
    ],
)
def test_what_nobody_could_look_up_is_refused(record: Record, said: str, ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=f"^record 0 of .*: {said}.*nothing was appended$"):
        ledger.append(record)
    assert ledger.rows() == []


def test_as_deep_as_may_be_is_appended_and_verifies(ledger: Ledger) -> None:
    ledger.append(records.access(actor="a", action="b", of="c", detail={"x": nested(61)}))
    assert ledger.verify().sound


def test_text_of_every_kind_is_appended_and_verifies(ledger: Ledger) -> None:
    everything = "".join(map(chr, [*range(1, 0x180), 0x2028, 0xFFFF, 0x10000, 0x10FFFF]))
    ledger.append(records.access(actor=everything, action="b", of="c", detail={everything: 1}))
    assert ledger.verify().sound


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-LARGEST, LARGEST)
        | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('abA_"\\\n\x1fé'), inner),
        max_leaves=20,
    )
)
def test_the_quick_way_writes_what_the_library_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_every_ascii_character_is_written_as_the_library_writes_it() -> None:
    value = {chr(code): f"a{chr(code)}b" for code in range(1, 128)}
    assert canonical(value) == rfc8785.dumps(value)
    assert canonical("\\u0000") == rfc8785.dumps("\\u0000")


@pytest.mark.parametrize(
    "value",
    [{"a": "\x00"}, {"\x00": 1}, {1: "a"}, [1.0], [LARGEST + 1], ["\ud800"], [True, {"a": b""}],
     nested(DEEPEST + 1), {"a": Decimal(1)}],
)  # fmt: skip
def test_the_quick_way_lets_nothing_pass_that_is_refused(value: Any) -> None:
    with pytest.raises(LedgerError):
        canonical(value)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2025, 6, 1, 7, 8, 9, 10, UTC), "2025-06-01T07:08:09.000010Z"),
        (datetime(2025, 6, 1, tzinfo=timezone(timedelta(hours=-5))), "2025-06-01T05:00:00.000000Z"),
        (datetime(1000, 1, 1, tzinfo=UTC), "1000-01-01T00:00:00.000000Z"),
        (datetime(25, 6, 1, tzinfo=UTC), "0025-06-01T00:00:00.000000Z"),
    ],
)
def test_instants_are_in_the_order_of_time_also_as_texts(moment: datetime, said: str) -> None:
    assert instant(moment) == said
    if moment.year >= 1000:  # as entries have it that stand already
        assert said == moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
