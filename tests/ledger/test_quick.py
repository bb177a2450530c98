"""The quick look at a block never passes what the exact look at an entry refuses (LOG-04)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made import RUN, access, configuration, disclosure, event, intent
from reengage.errors import LedgerError
from reengage.ledger.canonical import LARGEST, canonical
from reengage.ledger.entry import Entry, assemble, is_instant, parse
from reengage.ledger.quick import quick
from reengage.ledger.reading import Block
from reengage.ledger.records import Record, subject_of
from reengage.ledger.shape import MOST, Shapes

AT = "2025-06-02T17:00:00.000000Z"
DISCLOSURE = disclosure(1)
KINDS = (DISCLOSURE, configuration("x"), access("x"), event(RUN, "START"), intent(1, 2))
TOKENS = [
    b" ", b"\n", b"\t", b"\r", b"\\n", b"\\u000a", b"\\u001f", b"\\u001F", b"\\/", b"\\u0041",
    b"\\u0000", b"\\b", b"\\\\", b'\\"', b'"', b"\x7f", b"\x1f", b"\x00", b"\xc3\xa9", b"\xff",
    b"0", b"-0", b"01", b"1.0", b"1e2", b"1E400", b"-", b"9007199254740991", b"9007199254740992",
    b"-9007199254740992", b"18446744073709551616", b"true", b"null", b"NaN", b",", b":", b"{",
    b"}", b"[", b"]", b'"a":1,', b'"actor":"x",', b'"v":1,', b'"clock":"back",', b"\\ud800",
]  # fmt: skip
PLAIN = st.text(st.characters(min_codepoint=1, max_codepoint=0x7F), max_size=6)
TEXTS = st.one_of(
    PLAIN, st.text(st.characters(min_codepoint=1, blacklist_categories=("Cs",)), max_size=4)
)
LEAFS = st.one_of(st.none(), st.booleans(), st.integers(-LARGEST, LARGEST), TEXTS)
VALUES = st.recursive(
    LEAFS,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(TEXTS, below, max_size=3)),
    max_leaves=12,
)


def entry_of(record: Record, index: int = 7) -> bytes:
    return assemble(
        canonical(record.body), back=False, index=index, kind=record.kind, recorded_at=AT
    )


def column(kind: str | None, content: bytes | None) -> tuple[int, str]:
    """Index and subject that a table would have whose columns fit the bytes as well as they can."""
    try:
        said = json.loads(content or b"")
        index, subject = said["index"], subject_of(str(kind), said["body"])
    except (ValueError, LookupError, TypeError, AttributeError, LedgerError):
        return 0, ""
    return (index if type(index) is int else 0), subject


def passes(
    kinds: list[str | None],
    contents: list[bytes | None],
    shapes: Shapes | None = None,
    columns: list[tuple[int, str]] | None = None,
) -> list[tuple[Any, ...]] | None:
    """What the quick look takes from a block, with what is left to its caller."""
    pairs = [column(*one) for one in zip(kinds, contents, strict=True)]
    indices, subjects = map(list, zip(*(columns or pairs), strict=True))
    block = Block(indices, kinds, subjects, [b""] * len(kinds), contents)
    found = quick(block, shapes or Shapes())
    if found is None or not all(map(is_instant, found.times)) or min(indices) < 0:
        return None
    return list(zip(indices, kinds, found.times, subjects, strict=True))


def said(entry: Entry) -> tuple[Any, ...]:
    return (entry.index, entry.kind, entry.recorded_at, entry.subject)


def require_agreement(kind: str, content: bytes, shapes: Shapes | None = None) -> None:
    """What passes is an entry, and the same one."""
    if (found := passes([kind], [content], shapes)) is not None:
        assert found == [said(parse(content))]


def familiar() -> Shapes:
    """Shapes that know a disclosure."""
    shapes = Shapes()
    shapes.learn([entry_of(DISCLOSURE)])
    return shapes


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.data())
def test_changed_bytes_never_pass_unless_they_are_canonical(record: Record, data: Any) -> None:
    content = entry_of(record)
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(content)))
        end = min(len(content), begin + data.draw(st.integers(0, 3)))
        content = content[:begin] + data.draw(st.sampled_from(TOKENS)) + content[end:]
    require_agreement(record.kind, content)


@settings(max_examples=400)
@given(st.data())
def test_a_familiar_shape_never_lets_changed_bytes_pass_unless_they_are_canonical(
    data: Any,
) -> None:
    content = bytearray(entry_of(disclosure(2)))
    names = (b"letter", b"message_id", b"patient", b"queue_id", b"recorded_at", b"code", b"run")
    for _ in range(data.draw(st.integers(1, 3))):
        near = content.find(data.draw(st.sampled_from(names)))
        place = (near + data.draw(st.integers(0, 60))) % len(content)
        content[place] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(b'"\\{}0:,. ')))
    require_agreement("disclosure", bytes(content), familiar())


def test_a_familiar_shape_is_what_differs_in_a_few_strings_only() -> None:
    familiars = [entry_of(disclosure(number), 8) for number in (2, 3)]
    others = [
        entry_of(disclosure(2, vendor="acmf"), 8),
        entry_of(disclosure(2), 10),
        entry_of(disclosure(2, recipient=None), 8),
    ]
    alike, rest = familiar().sift(range(5), [*familiars, *others])
    assert alike.places == [0, 1]
    assert alike.indices == [b"8", b"8"]
    assert [patient.decode() for patient in alike.patients] == [
        parse(content).subject for content in familiars
    ]
    assert rest == [2, 3, 4]
    for changed in (b"\x7f", b"\\", b'"', b"\n", b"\xc3"):
        spoiled = familiars[1].replace(b"<3@", b"<" + changed + b"@")
        alike, rest = familiar().sift(range(2), [familiars[0], spoiled])
        assert 1 not in alike.places
        assert 1 in rest


@pytest.mark.parametrize(
    ("index", "subject"), [(9, None), (-8, None), (8, "0" * 32), (8, ""), (8, "a\nb")]
)
def test_a_familiar_shape_with_other_columns_does_not_pass(index: int, subject: str | None) -> None:
    content = entry_of(disclosure(2), 8)
    own = parse(content).subject
    assert passes(["disclosure"], [content], familiar(), [(8, own)])
    columns = [(index, own if subject is None else subject)]
    assert passes(["disclosure"], [content], familiar(), columns) is None


@pytest.mark.parametrize(
    "more",
    [
        {"reason": 'a "quoted" one'},
        {"transport": {"patient": "x"}},
        {"transport": {"index": 1}},
        {"transport": {"recorded_at": "x"}},
    ],
)
def test_what_is_not_plain_has_no_shape(more: dict[str, Any]) -> None:
    shapes, content = Shapes(), entry_of(disclosure(1, **more))
    shapes.learn([content])
    assert shapes.sift([0], [content])[1] == [0]
    assert passes(["disclosure"], [content], shapes)


def test_shapes_beyond_the_most_begin_anew() -> None:
    shapes = Shapes()
    for length in range(MOST + 1):
        content = entry_of(disclosure(1, vendor="x" * length))
        shapes.learn([content])
        assert shapes.sift([0], [content])[0].places == [0]
    assert shapes.sift([0], [entry_of(disclosure(1, vendor=""))])[1] == [0]


@settings(max_examples=200)
@given(
    st.dictionaries(TEXTS, VALUES, max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_other_writers_spellings_never_pass_unless_they_are_canonical(
    detail: dict[str, Any], indent: int | None, ascii_: bool, ordered: bool, between: Any
) -> None:
    body = {"of": "c", **access("x").body, "detail": detail}
    written = json.dumps(
        {"body": body, "index": 7, "kind": "access", "recorded_at": AT, "v": 1},
        indent=indent, ensure_ascii=ascii_, sort_keys=ordered, separators=between,
    )  # fmt: skip
    require_agreement("access", written.encode())


@settings(max_examples=200)
@given(st.dictionaries(PLAIN, st.lists(st.one_of(PLAIN, LEAFS), max_size=3), max_size=4))
@example({"\\u0000": []})
def test_a_canonical_entry_passes_where_it_is_plain_and_is_parsed_everywhere(
    detail: dict[str, Any],
) -> None:
    record = Record("access", {"actor": "a", "detail": detail})
    content = entry_of(record)
    parse(content)
    # What looks like a NUL, as an escaped backslash before u0000 does, is looked at slowly, too.
    in_one_order, like_a_nul = max(content.decode()) < "\ue000", rb"\u0000" in content
    assert (passes(["access"], [content]) is not None) is (in_one_order and not like_a_nul)


@pytest.mark.parametrize("octets", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xe2\x80"])
def test_octets_that_are_no_utf8_do_not_pass(octets: bytes) -> None:
    content = entry_of(access("x")).replace(b'"x"', b'"' + octets + b'"')
    assert passes(["access"], [content], columns=[(7, "ann")]) is None


def test_a_nul_passes_in_no_spelling() -> None:
    content = entry_of(access("x")).replace(b'"x"', rb'"\u0000"')
    assert passes(["access"], [content]) is None
    with pytest.raises(LedgerError, match="NUL"):
        parse(content)


def test_a_block_of_every_kind_passes_in_its_order() -> None:
    some = [*KINDS, *KINDS]
    contents = [entry_of(record, index) for index, record in enumerate(some)]
    assert passes([record.kind for record in some], contents) == [
        said(parse(content)) for content in contents
    ]


def test_rows_that_are_one_text_together_do_not_pass() -> None:
    """An entry cut at a comma between two rows, and two entries in the next."""
    one, two, three = (entry_of(event(RUN, "START"), index) for index in range(3))
    cut = one.index(b",")
    columns = [(index, RUN) for index in range(3)]
    assert passes(["run_event"] * 3, [one, two, three], columns=columns)
    for rows in (
        [one[:cut], one[cut + 1 :], two + b"," + three],
        [one[:cut], one[cut + 1 :], two + b"\n" + three],
        [one + b"\n" + two, b"", three],
    ):
        assert passes(["run_event"] * 3, list(rows), columns=columns) is None


@pytest.mark.parametrize("contents", [[None], [b""], [b"\n"], [b"{}"], [b"\xff"]])
def test_rows_without_an_entry_do_not_pass(contents: list[bytes | None]) -> None:
    assert passes(["access"], contents) is None


@pytest.mark.parametrize("kind", ["intent", "gossip", None])
def test_an_entry_of_another_kind_than_the_tables_does_not_pass(kind: str | None) -> None:
    assert passes([kind], [entry_of(DISCLOSURE)]) is None


def test_a_disclosure_of_another_shape_passes_too() -> None:
    content = entry_of(disclosure(1, transport={"b": 1, "a": [{"c": "d"}]}))
    assert passes(["disclosure"], [content]) == [said(parse(content))]
    unordered = content.replace(b'"a":[{"c":"d"}],"b":1', b'"b":1,"a":[{"c":"d"}]')
    assert unordered != content
    assert passes(["disclosure"], [unordered]) is None
    with pytest.raises(LedgerError, match="not canonical"):
        parse(unordered)
