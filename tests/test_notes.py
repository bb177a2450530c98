"""Notes: an Analyst who opens a failed run is told what may be told, and no count (PRV-27)."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reengage import errors
from reengage.errors import (
    ConfigurationError,
    GateError,
    KeyringError,
    LedgerError,
    ReengageError,
    RefusedError,
    RelayError,
    SourceDataError,
    StoreError,
    VendorError,
)
from reengage.notes import WITHHELD, note_of
from reengage.settings import HOME

LIBRARY = HOME / "plugins" / "reengage"
FILES = sorted(LIBRARY.rglob("*.py"))
RUN = "3f0c1d2e-6f70-5a0b-9c1d-0123456789ab"
COUNTING = [
    "3 of 1,204 letters of health_education in 30 days were called spam",
    "letters unaccounted for: {'claimed': 2}; clear the `send` tasks of this DAG run",
    "7 patients were to get a letter and have none",
    "9 letters are due; the campaign allows 5 a run",
    f"1 letters are still `unknown` (oldest: 4 days): {RUN}",
    "ledger and Airflow differ on 4 tries",
    "contract.contact has 2 rows too many",
    "suite 'cohort' is red: 3 of them are dead",
    "admin said no: only (8) are due",
    "claimed=6, sent:6, 0.3% of all; a third; ٣ or ½ or 6/40",
]
SILENT = [
    GateError("too many of its letters were called spam"),
    LedgerError("the ledger is not what it was: an entry is missing"),
    RefusedError("template/x was not approved; admin said no: three are too few"),
    RelayError("the relay is away"),
    SourceDataError("the warehouse refuses the extraction"),
    StoreError("the store is away"),
]
"""No number in them, and nobody says that there never is one."""
TOLD = [
    ConfigurationError(
        "campaign date 2999-01-01 is in the future (today is 2025-03-04); name today or a past day"
    ),
    ConfigurationError("campaigns/health_2.yaml:6: unknown key 'porpoise'"),
    ConfigurationError("templates/x/en/body.mjml:12: the practice has no 'fax'"),
    ConfigurationError(
        "no relay is configured for vendor 'x'; set REENGAGE_RELAY_URL_X to smtp://host:587 or"
        " smtps://host:465"
    ),
    VendorError(
        "agreement SAMPLE-0001 with 'lapsed' expired on 2020-12-31; renew it and enter the new"
        " dates in vendors.yaml"
    ),
    VendorError("host 'mail.x.org' with port 25 is not listed; listed: mail.x.org:587"),
    KeyringError(
        f"the data key of run {RUN} is not in the keyring: it was destroyed when the run ended;"
        " clear the whole DAG run from `preflight` on, or trigger a new one"
    ),
    KeyringError("restore months/2025-06.key and /srv/keys/portal/3.key"),
    GateError("suite 'cohort_2' is red: expect_x on alive; nothing was sent", countless=True),
]


def families() -> list[type[ReengageError]]:
    """Every kind of error that the library defines."""
    for path in FILES:
        if re.search(r"^class \w+\(\w*Error\):", path.read_text(encoding="utf-8"), re.M):
            parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
            importlib.import_module(".".join(parts))

    def below(kind: type[ReengageError]) -> Iterator[type[ReengageError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    return sorted(
        {one for one in below(ReengageError) if one.__module__.startswith("reengage.")},
        key=lambda one: one.__qualname__,
    )


FAMILIES = families()


def made(kind: type[ReengageError], said: str) -> ReengageError:
    """An error of the kind with this text, however the kind words its own."""
    error = kind.__new__(kind)
    error.args = (said,)
    return error


def test_all_kinds_are_looked_at() -> None:
    defined = {one.__name__ for one in vars(errors).values() if isinstance(one, type)} - {"Path"}
    assert defined <= {one.__name__ for one in FAMILIES}
    assert {"UnresolvedError", "FileError", "ClosedError"} <= {one.__name__ for one in FAMILIES}


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
def test_no_count_reaches_the_note_by_any_kind_of_error(kind: type[ReengageError]) -> None:
    for said in COUNTING:
        assert note_of(made(kind, said)) == WITHHELD, said
    assert not any(map(str.isnumeric, WITHHELD))


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda kind: kind.__name__)
@given(number=st.integers(0, 10**9), before=st.sampled_from([" ", "(", "'", "=", ": ", "\n", "["]))
def test_no_number_by_itself_reaches_the_note(
    kind: type[ReengageError], number: int, before: str
) -> None:
    for written in (f"{number}", f"{number:,}", f"{number}%", f"{number}.", f"{number / 7:.1f}"):
        error = made(kind, f"mend campaigns/x.yaml{before}{written} of them")
        error.countless = True  # even where somebody says so
        assert note_of(error) == WITHHELD


@pytest.mark.parametrize("error", SILENT, ids=lambda error: type(error).__name__)
def test_what_nobody_calls_countless_is_withheld_in_the_same_words(error: ReengageError) -> None:
    assert note_of(error) == WITHHELD


def test_a_new_kind_of_error_is_withheld_until_somebody_calls_it_countless() -> None:
    class NewError(ReengageError):
        pass

    assert note_of(NewError("something new")) == WITHHELD
    assert note_of(NewError("something new", countless=True)) == "NewError: something new"
    assert note_of(ConfigurationError("mend it", countless=False)) == WITHHELD


@pytest.mark.parametrize("error", TOLD, ids=str)
def test_what_says_which_file_day_or_key_stays_as_it_is(error: ReengageError) -> None:
    assert note_of(error) == f"{type(error).__name__}: {error}"


def test_an_error_that_is_not_ours_is_told_by_type_and_place() -> None:
    with pytest.raises(LookupError) as raised:
        raise LookupError("3 of 1,204")
    note = note_of(raised.value)
    assert note.startswith("unforeseen LookupError at test_notes.py:")
    assert "1,204" not in note


def worded(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Of each error that the file makes: line, kind, text, and whether it says `countless`.

    A number stands for each value in the text.
    """
    names = {one.__name__ for one in FAMILIES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(ast.Name(kind), [ast.Constant(str() as said), *_]) if kind in names:
                yield node.lineno, kind, said, bool(node.keywords)
            case ast.Call(ast.Name(kind), [ast.JoinedStr(parts), *_]) if kind in names:
                said = "".join(
                    str(one.value) if isinstance(one, ast.Constant) else "4711" for one in parts
                )
                yield node.lineno, kind, said, bool(node.keywords)


def test_of_every_error_text_of_the_library_no_value_is_told_that_could_be_a_count() -> None:
    kinds = {one.__name__: one for one in FAMILIES}
    looked_at, told = 0, []
    for path in FILES:
        for line, kind, said, countless in worded(path):
            error = made(kinds[kind], said)
            error.countless = error.countless or countless
            looked_at += 1
            if re.search(r"(?<![\w./:-])4711(?![\w/-])", note_of(error)):
                told.append(f"{path.name}:{line}: {note_of(error)}")
    # What is left names a line, a port or a key, which are numbered and not counted.
    assert [one for one in told if not re.search(r"\b(line|port|key|RFC) 4711", one)] == []
    assert looked_at > 250
