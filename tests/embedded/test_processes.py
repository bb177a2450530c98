"""Process groups: gone after their block, found after a kill, and never another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from reengage.embedded import processes
from reengage.embedded.layout import Layout
from reengage.embedded.processes import (
    Process,
    ProcessError,
    only_job,
    run_once,
    stop_group,
    stop_job,
    stop_leftovers,
    wait_until,
)

_PLUGINS = Path(processes.__file__).parents[2]
# Writes its children's ids, then waits for a signal; `deaf` ones let SIGTERM pass.
_TREE = """
import os, signal, sys
out, deaf = sys.argv[1], sys.argv[2] == "deaf"
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
ids = [os.getpid()]
for _ in range(2):
    if not (child := os.fork()):
        while True:
            signal.pause()
    ids.append(child)
with open(out + ".new", "w") as file:
    file.write(" ".join(map(str, ids)))
os.rename(out + ".new", out)
while True:
    signal.pause()
"""
# A starter: `running` in a process of its own, which waits inside the block.
_STARTER = """
import sys, signal
from pathlib import Path
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process
with Process("tree", Layout(Path(sys.argv[1]))).running(sys.argv[2:], {}):
    signal.pause()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def ids_file(tmp_path: Path) -> Path:
    return tmp_path / "ids"


def tree(ids_file: Path, temper: str = "obedient") -> list[str]:
    return [sys.executable, "-c", _TREE, str(ids_file), temper]


def ids(ids_file: Path) -> list[int]:
    wait_until(ids_file.exists, seconds=20, what="the tree", every=0.01)
    return [int(word) for word in ids_file.read_text(encoding="ascii").split()]


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


@contextmanager
def killed_starter(layout: Layout, ids_file: Path, temper: str) -> Iterator[list[int]]:
    """The tree of a starter that got SIGKILL; whatever the test leaves of it is ended."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(layout.home), *tree(ids_file, temper)],
        env={**os.environ, "PYTHONPATH": str(_PLUGINS)},
    )
    members: list[int] = []
    try:
        members = ids(ids_file)
        starter.kill()
        starter.wait()
        yield members
    finally:
        starter.kill()
        starter.wait()
        for pid in alive(members):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("temper", ["obedient", "deaf"])
def test_the_whole_group_is_gone_after_the_block(
    temper: str, layout: Layout, ids_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    with Process("tree", layout).running(tree(ids_file, temper), {}) as child:
        members = ids(ids_file)
        assert len(alive(members)) == 3
        assert {os.getpgid(pid) for pid in members} == {child.pid}
    assert alive(members) == []
    assert list(layout.processes.iterdir()) == []


def test_the_group_is_gone_although_the_block_fails(layout: Layout, ids_file: Path) -> None:
    with suppress(KeyboardInterrupt), Process("tree", layout).running(tree(ids_file), {}):
        ids(ids_file)
        raise KeyboardInterrupt
    assert alive(ids(ids_file)) == []


def test_children_of_a_leader_that_died_are_ended_too(layout: Layout, ids_file: Path) -> None:
    with Process("tree", layout).running(tree(ids_file), {}) as child:
        members = ids(ids_file)
        child.kill()
        child.wait()
        assert len(alive(members)) == 2
    assert alive(members) == []


@pytest.mark.parametrize("temper", ["obedient", "deaf"])
def test_what_a_killed_starter_leaves_is_found_and_stopped(
    temper: str, layout: Layout, ids_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    with killed_starter(layout, ids_file, temper) as members:
        # The leader dies with its starter, if it obeys; its children do not know.
        wait_until(
            lambda: len(alive(members)) == (3 if temper == "deaf" else 2),
            seconds=10,
            what="the leader's end",
            every=0.01,
        )
        assert stop_leftovers(layout) == 1
        assert alive(members) == []
    assert stop_leftovers(layout) == 0


@pytest.mark.parametrize(
    "content",
    ["{pid} another-boot/1", "{pid} ", "{pid}", "", "not a number", "{pid} {almost}"],
)
def test_a_number_that_is_anothers_by_now_is_left_alone(
    content: str, layout: Layout, tmp_path: Path
) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
    )
    try:
        began = processes._began(bystander.pid)
        assert began is not None
        boot, _, ticks = began.partition("/")
        layout.processes.mkdir(parents=True)
        (layout.processes / "api.pid").write_text(
            content.format(pid=bystander.pid, almost=f"{boot}/{int(ticks) - 1}"), encoding="ascii"
        )
        assert stop_leftovers(layout) == 0
        assert bystander.poll() is None
        assert list(layout.processes.iterdir()) == []
    finally:
        stop_group(bystander.pid)
        bystander.wait()


def test_nothing_to_stop_is_no_fault(layout: Layout) -> None:
    assert stop_leftovers(layout) == 0


def test_it_is_written_down_before_its_command_begins(layout: Layout, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = [
        "/bin/sh",
        "-c",
        f"cat {layout.processes}/early.pid > {seen}.new; mv {seen}.new {seen}",
    ]
    with Process("early", layout).running(command, {}) as child:
        wait_until(seen.exists, seconds=10, what="the command", every=0.01)
    assert seen.read_text(encoding="ascii").startswith(f"{child.pid} ")


def test_a_command_that_does_not_exist_leaves_no_trace(layout: Layout) -> None:
    with (
        pytest.raises(FileNotFoundError),
        Process("none", layout).running([str(layout.home / "nothing")], {}),
    ):
        pass
    assert stop_leftovers(layout) == 0


def test_a_failed_command_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log" / "once.log"
    with pytest.raises(ProcessError, match=f"failed with 3; its output is in {log}"):
        run_once(["/bin/sh", "-c", "echo why; exit 3"], {}, log)
    assert log.read_text(encoding="utf-8") == "why\n"


def test_what_never_comes_true_is_named_when_the_time_is_up() -> None:
    with pytest.raises(ProcessError, match="the miracle did not happen within 0 s"):
        wait_until(lambda: False, seconds=0.05, what="the miracle", every=0.01)


JOB = """
import signal, sys
from pathlib import Path
from reengage.embedded.layout import Layout
from reengage.embedded.processes import only_job
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with only_job(Layout(Path(sys.argv[1]))):
    print("under way", flush=True)
    signal.pause()
"""


def test_a_second_job_is_refused_while_one_is_under_way_and_down_stops_that(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert stop_job(layout) is False
    with subprocess.Popen(
        [sys.executable, "-c", JOB, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "under way\n"
        with (
            pytest.raises(ProcessError, match=rf"under way \(process {job.pid}\)"),
            only_job(layout),
        ):
            pass
        assert stop_job(layout) is True
        assert job.wait(10) == 3
    with only_job(layout):
        assert layout.job.read_text() == str(os.getpid())
    assert stop_job(layout) is False
