"""Where checkpoints lie, and signing the next: never two that contradict each other (LOG-05)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from made import Ledger, access, disclosure
from reengage.errors import LedgerError
from reengage.ledger import checkpoints as signing
from reengage.ledger.append import append
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint, size_of
from reengage.ledger.merkle import leaf_hash, root_of
from sqlalchemy import text

SUPERUSER = "SET LOCAL session_replication_role = replica"


@pytest.fixture(params=["directory", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    """An empty location of each kind."""
    memory = f"memory://{tmp_path.name}/checkpoints"
    return Checkpoints(memory if request.param == "memory" else str(tmp_path / "a" / "b"))


def change(ledger: Ledger, statement: str, **values: object) -> None:
    """As the database's superuser, past the triggers."""
    with ledger.engine.begin() as connection:
        connection.execute(text(SUPERUSER))
        connection.execute(
            text("ALTER TABLE ledger_entry DROP CONSTRAINT IF EXISTS ledger_entry_check")
        )
        connection.execute(text(statement), values)


def test_a_note_is_put_once_and_for_all(place: Checkpoints) -> None:
    assert place.all() == []
    assert place.put(100, "hundred") == "00000000000000000100.checkpoint"
    place.put(9, "nine")
    place.put(100, "hundred")
    with pytest.raises(LedgerError, match="another checkpoint of size 100 already"):
        place.put(100, "another")
    assert [(size_of(name), note) for name, note in place.all()] == [(9, "nine"), (100, "hundred")]


def test_files_are_for_reading_and_others_beside_them_are_left_alone(tmp_path: Path) -> None:
    place = Checkpoints(f"file://{tmp_path / 'kept'}")
    place.put(1, "one")
    (tmp_path / "kept" / "README").write_text("mine", encoding="utf-8")
    (tmp_path / "kept" / "x.checkpoint").write_bytes(b"\xff")
    assert [name for name, _ in place.all()] == ["00000000000000000001.checkpoint", "x.checkpoint"]
    assert size_of("x.checkpoint") is None
    mode = (tmp_path / "kept" / "00000000000000000001.checkpoint").stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


@pytest.mark.parametrize("location", ["nonsense://h/a", "http2://x"])
def test_a_location_that_is_none_is_told_without_naming_it(location: str) -> None:
    for use in (Checkpoints(location).all, lambda: Checkpoints(location).put(1, "one")):
        with pytest.raises(LedgerError, match="REENGAGE_CHECKPOINTS is no location") as refused:
            use()
        assert location not in str(refused.value)


def test_a_location_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    place = Checkpoints(str(tmp_path / "file" / "below"))
    with pytest.raises(LedgerError, match="checkpoint 1 cannot be written to its location"):
        place.put(1, "one")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "1.checkpoint").mkdir()
    with pytest.raises(LedgerError, match="cannot be read from their location"):
        Checkpoints(str(tmp_path / "kept")).all()


def test_a_checkpoint_is_signed_once_for_what_came_since(ledger: Ledger) -> None:
    assert ledger.sign() is None
    ledger.append(access("a"), access("b"))
    first = ledger.sign()
    assert (first.size, first.root) == (2, ledger_root(ledger, 2))
    assert ledger.sign() is None
    assert ledger.sign() is None
    ledger.append(disclosure(1))
    assert ledger.sign().size == 4
    assert [size_of(name) for name, _ in ledger.checkpoints.all()] == [2, 4]
    assert [kind for _, kind, *_ in ledger.rows()] == [
        "access", "access", "checkpoint", "disclosure", "checkpoint",
    ]  # fmt: skip
    assert ledger.verify().checkpoints == 2


def ledger_root(ledger: Ledger, size: int) -> bytes:
    return root_of([leaf_hash(bytes(row[4])) for row in ledger.rows()[:size]])


@pytest.mark.parametrize("between", [False, True])
def test_a_crash_between_file_and_commit_is_made_good_the_next_time(
    between: bool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append(access("a"))
    with monkeypatch.context() as patch:
        patch.setattr(signing, "append", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ledger.sign()
    notes = ledger.checkpoints.all()
    assert [size_of(name) for name, _ in notes] == [1]
    assert ledger.verify().checkpoints == 1
    if between:
        ledger.append(access("b"))
    assert ledger.sign().size == (2 if between else 1)
    assert ledger.checkpoints.all()[:1] == notes
    recorded = sum(kind == "checkpoint" for _, kind, *_ in ledger.rows())
    assert recorded == len(ledger.checkpoints.all()) == (2 if between else 1)
    assert ledger.sign() is None
    assert ledger.verify().sound


def test_what_is_not_committed_is_not_signed(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        append(connection, ledger.keyring, [access("a")])
        with pytest.raises(LedgerError, match="not committed yet"):
            sign_checkpoint(connection, ledger.keyring, ledger.checkpoints)
    assert ledger.checkpoints.all() == []


def test_nothing_is_signed_beside_a_contradiction(ledger: Ledger) -> None:
    ledger.append(access("a"), access("b"))
    ledger.sign()
    ledger.append(access("c"))
    change(ledger, "UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 1")
    with pytest.raises(LedgerError, match="contradicts its checkpoint of size 2; nothing is"):
        ledger.sign()
    assert len(ledger.checkpoints.all()) == 1


def test_nothing_is_signed_over_entries_that_the_head_does_not_know(ledger: Ledger) -> None:
    ledger.append(access("a"), access("b"))
    change(ledger, "UPDATE ledger_entry SET leaf = sha256('x') WHERE index = 1")
    with pytest.raises(LedgerError, match="entries and its head contradict each other"):
        ledger.sign()
    change(ledger, "DELETE FROM ledger_entry WHERE index = 1")
    with pytest.raises(LedgerError, match="entries and its head contradict each other"):
        ledger.sign()
    change(ledger, "UPDATE ledger_head SET mac = '\\x00'")
    with pytest.raises(LedgerError, match="not what its writers left"):
        ledger.sign()
    assert ledger.checkpoints.all() == []


def test_nothing_is_signed_beside_a_file_that_is_not_this_ledgers(ledger: Ledger) -> None:
    ledger.append(access("a"), access("b"))
    ledger.sign()
    ((_, note),) = ledger.checkpoints.all()
    ledger.append(access("c"))
    for size, content, said in (
        (3, note, "not this ledger's, or renamed"),
        (9, "nonsense", "checkpoint of size 9 is refused.*no signed note"),
    ):
        path = Path(ledger.checkpoints.location) / ledger.checkpoints.put(size, content)
        with pytest.raises(LedgerError, match=said):
            ledger.sign()
        path.unlink()
    (Path(ledger.checkpoints.location) / "x.checkpoint").write_text(note, encoding="utf-8")
    with pytest.raises(LedgerError, match="no checkpoint's name; nothing is signed"):
        ledger.sign()
