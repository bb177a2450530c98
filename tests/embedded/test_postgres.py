"""The embedded PostgreSQL: its first user starts it, its last stops it, its log tells nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from reengage.embedded import postgres
from reengage.embedded.postgres import DATABASES, Postgres
from reengage.embedded.processes import ProcessError, wait_until
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.long

_PLUGINS = Path(postgres.__file__).parents[2]
_USER = """
import sys
from pathlib import Path
from reengage.embedded import postgres
with postgres.running(Path(sys.argv[1])) as server:
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def initialized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of a stopped server: initdb takes a second."""
    directory = tmp_path_factory.mktemp("pg") / "data"
    with postgres.running(directory):
        pass
    with (directory / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write("fsync = off\n")
    return directory


@pytest.fixture
def directory(initialized: Path) -> Iterator[Path]:
    """The same for every test, stopped before and after."""
    yield initialized
    postgres.stop(initialized)
    (initialized / "postmaster.pid").unlink(missing_ok=True)


def copied(initialized: Path, to: Path) -> Path:
    """A copy in another place, to be spoiled."""
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(initialized), str(to)], check=True)
    return to


@contextmanager
def user(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A user in a process of its own, which leaves when its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", _USER, str(directory)],
        env={**os.environ, "PYTHONPATH": str(_PLUGINS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def is_up(child: subprocess.Popen[str]) -> bool:
    assert child.stdout is not None
    return child.stdout.readline() == "up\n"


def leave(child: subprocess.Popen[str]) -> None:
    child.communicate("")
    assert child.returncode == 0


def answers(server: Postgres) -> bool:
    with psycopg.connect(host=str(server.socket), user="postgres", dbname="store") as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def runs(directory: Path) -> bool:
    return postgres._postmaster(directory) is not None


def test_the_first_user_starts_it_and_the_last_stops_it(directory: Path) -> None:
    with user(directory) as other:
        assert is_up(other)
        with postgres.running(directory) as server:
            leave(other)
            assert answers(server)
        assert not runs(directory)


def test_it_runs_on_while_another_uses_it_and_nested_in_one_process(directory: Path) -> None:
    with postgres.running(directory) as server:
        with postgres.running(directory) as again:
            assert again == server
        assert answers(server)
    assert not runs(directory)


def test_a_killed_user_is_not_counted(directory: Path) -> None:
    with user(directory) as killed:
        assert is_up(killed)
        with postgres.running(directory) as server:
            killed.kill()
            killed.wait()
            assert answers(server)
        assert not runs(directory)


def test_what_a_killed_last_user_leaves_is_stopped_by_stop_or_by_the_next(directory: Path) -> None:
    for _ in range(2):
        with user(directory) as killed:
            assert is_up(killed)
            killed.kill()
        assert runs(directory)
        with postgres.running(directory) as server:
            assert answers(server)
        assert not runs(directory)
    with user(directory) as killed:
        assert is_up(killed)
        killed.kill()
    assert postgres.stop(directory)
    assert not runs(directory)
    assert not postgres.stop(directory)


def test_nothing_to_stop_is_no_fault(tmp_path: Path) -> None:
    assert not postgres.stop(tmp_path / "never")


def test_several_first_starts_at_once_make_one_server(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    with user(directory) as one, user(directory) as other:
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(is_up, (one, other))) == [True, True]
        with (
            postgres.running(directory) as server,
            psycopg.connect(host=str(server.socket), user="postgres", dbname="store") as connection,
        ):
            found = connection.execute("SELECT datname FROM pg_database").fetchall()
        assert set(DATABASES) <= {name for (name,) in found}
        leave(one)
        assert runs(directory)
        leave(other)
    assert not runs(directory)


def test_a_first_start_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with user(directory) as killed:
        # initdb is at work: its files come long before it is done.
        wait_until(
            lambda: list(tmp_path.glob("data.new.*/PG_VERSION")) != [],
            seconds=20,
            what="initdb",
            every=0.002,
        )
        killed.kill()
    assert not directory.exists()  # although the initdb of the killed start may still be at work
    with postgres.running(directory) as server:
        assert answers(server)


def test_a_start_that_was_killed_before_its_settings_were_written_gets_them(
    directory: Path,
) -> None:
    (directory / "postgresql.auto.conf").write_text("", encoding="utf-8")
    with postgres.running(directory) as server:
        assert _setting(server, "log_min_messages") == "fatal"


STALE = "{pid}\n{directory}\n1700000000\n5432\n{directory}\n\n  1 1\n{status}\n"


@pytest.mark.parametrize("status", ["ready   ", "starting"])
def test_a_stale_pid_file_neither_hinders_nor_signals_whose_number_it_is_now(
    status: str, directory: Path
) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (directory / "postmaster.pid").write_text(
            STALE.format(pid=bystander.pid, directory=directory, status=status), encoding="utf-8"
        )
        assert not postgres.stop(directory)
        with postgres.running(directory) as server:
            assert answers(server)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("content", ["", "x\n", "99999999\n"])
def test_a_broken_pid_file_is_no_reason_to_stop_anything(content: str, directory: Path) -> None:
    (directory / "postmaster.pid").write_text(content, encoding="utf-8")
    assert not postgres.stop(directory)


def test_a_server_that_was_killed_recovers_and_starts_again(directory: Path) -> None:
    with user(directory) as killed:
        assert is_up(killed)
        killed.kill()
    server = postgres._postmaster(directory)
    assert server is not None
    backends = server.children(recursive=True)
    server.send_signal(signal.SIGKILL)
    psutil.wait_procs([server, *backends], timeout=20)
    with postgres.running(directory) as restarted:
        assert answers(restarted)


@pytest.mark.parametrize(
    "name", ["long " * 40 + "/data", "with, comma 'and' 100% ä/data", "with space/data"]
)
def test_any_path_will_do_and_its_socket_is_for_its_owner_only(
    name: str, initialized: Path, tmp_path: Path
) -> None:
    directory = copied(initialized, tmp_path / name)
    with postgres.running(directory) as server:
        engine = create_engine(server.url("store"))
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        engine.dispose()
        assert server.socket.stat().st_mode & 0o777 == 0o700
        assert (server.socket / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0
    assert server.socket == directory or not server.socket.exists()


def test_a_socket_directory_of_anothers_is_refused(
    initialized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(postgres.tempfile, "tempdir", None)
    directory = copied(initialized, tmp_path / ("long" * 50) / "data")
    trap = tmp_path / "trap"
    trap.mkdir()
    mark = postgres._private_socket_directory(directory)
    mark.symlink_to(trap)
    with pytest.raises(ProcessError, match="belongs to another user"), postgres.running(directory):
        pass


def test_it_listens_on_no_network_address(directory: Path) -> None:
    with postgres.running(directory) as server:
        assert _setting(server, "listen_addresses") == ""
        process = postgres._postmaster(directory)
        assert process is not None
        assert [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


CANARY = "canary.4711"
FAULTY = [
    "INSERT INTO told VALUES (:value), (:value)",  # its DETAIL quotes the key
    "SELECT CAST(:value AS int)",
    "SELECT 1 / 0 WHERE :value = 'canary.4711'",
    "SELECT nonsense('canary.4711', :value)",
    "DO $$ BEGIN RAISE WARNING 'canary.4711'; RAISE EXCEPTION 'canary.4711'; END $$",
    "SELECT pg_terminate_backend(pg_backend_pid()) WHERE :value <> ''",
]


def test_its_log_quotes_no_statement_and_no_value(directory: Path) -> None:
    with postgres.running(directory) as server:
        engine = create_engine(server.url("store"))
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE told (value text PRIMARY KEY)"))
        for statement in FAULTY:
            parameters = {"value": CANARY} if ":value" in statement else {}
            with (
                pytest.raises(DBAPIError),
                engine.connect() as connection,
                suppress(psycopg.Error),
            ):
                connection.execute(text(statement), parameters)
        engine.dispose()
    log = (directory / "log").read_text(encoding="utf-8", errors="replace")
    assert "canary" not in log.lower()
    assert "terminating connection" in log  # it is the log of these events


def test_a_server_that_cannot_start_names_its_log(initialized: Path, tmp_path: Path) -> None:
    directory = copied(initialized, tmp_path / "data")
    (directory / "postgresql.conf").write_text("no such setting", encoding="utf-8")
    with pytest.raises(ProcessError, match="did not start") as raised, postgres.running(directory):
        pass
    assert str(directory / "log") in str(raised.value)


def _setting(server: Postgres, name: str) -> str:
    with psycopg.connect(host=str(server.socket), user="postgres", dbname="store") as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


# --- run by root: the directories above ---


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")


@needs_root
def test_the_directories_above_become_passable_at_most_and_never_readable(
    initialized: Path, tmp_path: Path
) -> None:
    private, shared, group = (tmp_path / p for p in ("a", "a/b", "a/b/c"))
    directory = copied(initialized, group / "var" / "data")
    for path, bits in ((private, 0o700), (shared, 0o1751), (group, 0o2750)):
        path.chmod(bits)
    above = {path: mode(path) for path in tmp_path.parents}
    with postgres.running(directory) as server:
        assert answers(server)
    assert [oct(mode(path)) for path in (private, shared, group)] == ["0o711", "0o1751", "0o2751"]
    assert mode(directory) == 0o700
    assert {path: mode(path) & ~0o011 for path in above} == {
        path: bits & ~0o011 for path, bits in above.items()
    }


@needs_root
def test_a_first_start_leaves_the_directories_above_unreadable(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with postgres.running(home / "var" / "data") as server:
        assert answers(server)
        process = postgres._postmaster(home / "var" / "data")
        assert process is not None
        assert 0 not in (*process.uids(), *process.gids())
    assert (oct(mode(home)), oct(mode(home / "var"))) == ("0o711", "0o711")


@needs_root
def test_the_private_directory_of_another_user_is_left_alone_and_told(tmp_path: Path) -> None:
    home = tmp_path / "alice"
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    with (
        pytest.raises(ProcessError, match=r"run this as the user that owns .*alice, or move"),
        postgres.running(home / "checkout" / "data"),
    ):
        pass
    assert oct(mode(home)) == "0o700"
