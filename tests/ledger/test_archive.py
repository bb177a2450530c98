"""The export: written once, gone on with where it broke off, verified without a store (LOG-11)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from entries import Books, disclosure, event, ledger
from fsspec.implementations.memory import MemoryFileSystem
from reengage.embedded import postgres
from reengage.errors import LedgerError
from reengage.ledger import archive as archives
from reengage.ledger.archive import Archive, Exported, blocks_of, entries, export, size_of
from reengage.ledger.verify import Verdict, verify_blocks

ADDRESS = "canary.patient@example.org"
FIRST = [
    "segments/00000000000000000000-00000000000000000009.jsonl",
    "segments/00000000000000000010-00000000000000000019.jsonl",
    "segments/00000000000000000020-00000000000000000022.jsonl",
    "checkpoints/00000000000000000023.checkpoint",
    "keys/0001.vkey",
]


@pytest.fixture(scope="module")
def written(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """26 entries, of which a checkpoint covers 23, and its own record is another."""
    with ledger(server, tmp_path_factory.mktemp("books")) as books:
        for number in range(11):
            books.add(event(number), disclosure(books.keyring, "canary", address=ADDRESS))
        books.add(event(11))
        books.sign()
        books.add(event(12), event(13))
        yield books


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment is full with ten entries."""
    monkeypatch.setattr(archives, "ENTRIES", 10)


def to(books: Books, location: Path | str, covered: int = 23) -> Exported:
    with books.engine.connect() as connection:
        return export(
            connection,
            Archive(str(location)),
            checkpoints=books.checkpoints,
            keys=books.keyring.directory / "ledger",
            covered=covered,
        )


def verdict(books: Books, location: Path | str) -> Verdict:
    archive = Archive(str(location))
    return verify_blocks(
        blocks_of(archive), keys=books.keys, checkpoints=archive.checkpoints, total=size_of(archive)
    )


def files(location: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(location)): path.read_bytes()
        for path in location.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["directory", "object store", "other"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Each of the three ways in which storage is written."""
    if request.param == "directory":
        yield str(tmp_path / "export")
        return
    MemoryFileSystem.store.clear()
    fsspec.register_implementation("other", Other, clobber=True)
    yield f"{'memory' if request.param == 'object store' else 'other'}://export"
    MemoryFileSystem.store.clear()


class Other(MemoryFileSystem):
    """Storage of which nothing is known but that it can rename."""

    protocol = "other"
    dies_in: str | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("other://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: object) -> None:
        if Other.dies_in and Other.dies_in in path:
            super().pipe_file(path, value[: len(value) // 2])
            raise KeyboardInterrupt
        super().pipe_file(path, value)


def test_what_is_full_or_covered_is_exported_and_its_lines_are_the_ledger(
    written: Books, location: str
) -> None:
    done = to(written, location)
    assert list(done.written) == FIRST
    assert (done.entries, done.size) == (23, 26)
    archive = Archive(location)
    assert list(entries(archive)) == written.bytes[:23]
    assert archive.get(FIRST[2]) == b"".join(line + b"\n" for line in written.bytes[20:23])
    assert archive.get(FIRST[4]).decode().strip() == written.keys[0].text
    assert archive.names("segments") == [name.partition("/")[2] for name in FIRST[:3]]
    assert to(written, location).written == ()


def test_a_second_verdict_needs_nothing_but_the_export_and_a_key(
    written: Books, location: str
) -> None:
    to(written, location)
    found = verdict(written, location)
    assert (found.sound, found.size, found.checkpoints) == (True, 23, 1)
    assert len(found.open_runs) == 12


def test_what_comes_later_goes_on_after_what_is_there(
    server: postgres.Postgres, tmp_path: Path
) -> None:
    with ledger(server, tmp_path) as books:
        books.add(*(event(number) for number in range(13)))
        assert to(books, tmp_path / "e", covered=0).entries == 10  # no checkpoint: what is full
        books.sign()
        assert to(books, tmp_path / "e", covered=13).entries == 13
        books.add(*(event(number) for number in range(100, 120)))
        books.sign()
        done = to(books, tmp_path / "e", covered=34)
        assert [name[-11:-6] for name in done.written if name.startswith("seg")] == [
            "00019", "00029", "00033",
        ]  # fmt: skip
        assert list(entries(Archive(str(tmp_path / "e")))) == books.bytes[:34]
        assert verdict(books, tmp_path / "e").sound


@pytest.mark.parametrize("broken", range(5))
def test_a_death_at_any_file_leaves_no_torn_one_and_is_gone_on_with(
    written: Books, tmp_path: Path, broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    whole = archives.write_new

    def dies(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) == broken + 1:
            path.with_name(f".{path.name}.0123").write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(archives, "write_new", dies)
    with pytest.raises(KeyboardInterrupt):
        to(written, tmp_path)
    assert set(files(tmp_path)) - set(FIRST) == {FIRST[broken].replace("/", "/.") + ".0123"}
    monkeypatch.undo()
    monkeypatch.setattr(archives, "ENTRIES", 10)
    assert list(to(written, tmp_path).written) == FIRST[broken:]
    assert verdict(written, tmp_path).sound


@pytest.mark.parametrize("broken", FIRST)
def test_other_storage_is_written_under_another_name_until_it_is_whole(
    written: Books, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("other", Other, clobber=True)
    MemoryFileSystem.store.clear()
    monkeypatch.setattr(Other, "dies_in", broken.partition("/")[2])
    with pytest.raises(KeyboardInterrupt):
        to(written, "other://export")
    assert broken.partition("/")[2] not in Archive("other://export").names(broken.split("/")[0])
    monkeypatch.setattr(Other, "dies_in", None)
    assert broken in to(written, "other://export").written
    assert verdict(written, "other://export").sound
    MemoryFileSystem.store.clear()


@pytest.mark.parametrize("name", FIRST)
def test_a_file_that_says_something_else_is_named_and_never_overwritten(
    written: Books, tmp_path: Path, name: str
) -> None:
    to(written, tmp_path)
    altered = (tmp_path / name).read_bytes().replace(b"e", b"f", 1)
    assert altered != (tmp_path / name).read_bytes()
    (tmp_path / name).chmod(0o600)
    (tmp_path / name).write_bytes(altered)
    with pytest.raises(LedgerError, match=f"^{name} of the export is not what the ledger says"):
        to(written, tmp_path)
    assert (tmp_path / name).read_bytes() == altered


def test_a_segment_that_is_missing_before_others_is_named(written: Books, tmp_path: Path) -> None:
    to(written, tmp_path)
    (tmp_path / FIRST[1]).unlink()
    with pytest.raises(LedgerError, match="entries from 10 on are missing: the next segment is 0"):
        to(written, tmp_path)
    with pytest.raises(LedgerError, match="entries from 10 on are missing"):
        verdict(written, tmp_path)


def test_a_ledger_that_lost_what_was_exported_is_told(
    server: postgres.Postgres, tmp_path: Path
) -> None:
    with ledger(server, tmp_path) as books:
        books.add(*(event(number) for number in range(12)))
        to(books, tmp_path / "e", covered=12)
        books.spoil("DELETE FROM ledger_entry WHERE index = 4")
        with pytest.raises(LedgerError, match="the ledger has 9 entries from 0 to 9, and not all"):
            to(books, tmp_path / "e")
        books.spoil("DELETE FROM ledger_entry WHERE index > 3")
        books.spoil("UPDATE ledger_head SET size = 4")
        with pytest.raises(LedgerError, match="has 4 entries from 0 to 9"):
            to(books, tmp_path / "e")
        assert to(books, tmp_path / "new", covered=0).entries == 0


def spoiled(name: str, change: object) -> object:
    def spoil(location: Path) -> None:
        path = location / name
        path.chmod(0o600)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(change(lines)))  # type: ignore[operator]

    return spoil


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (FIRST[1], lambda found: [found[0].replace(b"START", b"OTHER"), *found[1:]], "entry 10 "),
        (FIRST[0], lambda found: [found[0], found[2], found[1], *found[3:]], "entry 1 "),
        (FIRST[0], lambda found: [found[0][:-2] + b"\n", *found[1:]], "entry 0 is no entry"),
        (FIRST[2], lambda found: [*found[:-1], found[0]], "entry 22 "),
        (FIRST[3], lambda found: [found[0], b"22\n", *found[2:]], "checkpoint 23 is not what was"),
    ],
    ids=["a byte", "order", "cut", "another entry", "checkpoint"],
)
def test_a_changed_export_is_told_from_a_sound_one(
    written: Books, tmp_path: Path, name: str, change: object, says: str
) -> None:
    to(written, tmp_path)
    spoiled(name, change)(tmp_path)  # type: ignore[operator]
    found = verdict(written, tmp_path)
    assert not found.sound
    assert any(str(one).startswith(says) for one in found.findings), found.findings


def test_an_export_that_lost_its_end_or_a_line_is_told(written: Books, tmp_path: Path) -> None:
    to(written, tmp_path)
    kept = shutil.copytree(tmp_path, tmp_path.parent / "kept")
    (kept / FIRST[2]).unlink()
    found = verdict(written, kept)
    assert [str(one)[:56] for one in found.findings] == [
        "checkpoint 23 was signed over more entries than the 20 t"
    ]
    (tmp_path / FIRST[1]).chmod(0o600)
    (tmp_path / FIRST[1]).write_bytes(b"\n".join(written.bytes[10:19]) + b"\n")
    with pytest.raises(LedgerError, match=f"{FIRST[1]} does not hold as many entries"):
        verdict(written, tmp_path)


def test_without_a_trusted_key_no_checkpoint_counts(written: Books, tmp_path: Path) -> None:
    to(written, tmp_path)
    archive = Archive(str(tmp_path))
    found = verify_blocks(blocks_of(archive), keys=[], checkpoints=archive.checkpoints, total=23)
    assert (found.sound, found.checkpoints) == (False, 0)


def test_nothing_of_a_patient_is_in_an_export(written: Books, tmp_path: Path) -> None:
    to(written, tmp_path)
    for name, content in files(tmp_path).items():
        assert b"canary" not in content, name
    assert written.keyring.pseudonym("patient", "canary").encode() in files(tmp_path)[FIRST[0]]


def test_two_exports_to_one_place_do_not_cut_it_differently(written: Books, tmp_path: Path) -> None:
    with written.engine.connect() as connection:
        archives._alone(connection, Archive(str(tmp_path)))
        with pytest.raises(LedgerError, match="another export to this location is under way"):
            to(written, tmp_path)
        assert to(written, tmp_path / "elsewhere").entries == 23
    assert to(written, tmp_path).entries == 23


def test_a_place_that_cannot_be_written_is_told_without_its_address(
    written: Books, tmp_path: Path
) -> None:
    (tmp_path / "canary").write_bytes(b"")
    for location in (tmp_path / "canary", "nosuch://user:canary@h/"):
        with pytest.raises(LedgerError, match=r"location") as refused:
            to(written, location)
        assert "canary" not in str(refused.value)
