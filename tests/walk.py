"""A page of docs/ that can be followed: its files, its commands, and what they are to print.

Read from the page itself, so that page and test cannot drift apart:

- "Write `path`:" and the fenced block after it is a file;
- a block marked `sh` is a command, `sh fails` one that must not succeed;
- a block marked `text` after a command holds lines that it printed, each a part of one of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

_BLOCK = re.compile(
    r"(?:^Write `(?P<path>[^`]+)`:\n\n)?"
    r"^(?P<indent> *)```(?P<mark>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 1800


@dataclass(frozen=True)
class File:
    path: str
    content: str


@dataclass(frozen=True)
class Command:
    text: str
    fails: bool = False


@dataclass(frozen=True)
class Printed:
    lines: tuple[str, ...]


def steps(page: str) -> Iterator[File | Command | Printed]:
    """What the page has its reader do, in its order."""
    for block in _BLOCK.finditer(page):
        mark, text = block["mark"].split(), dedent(block["text"])
        if block["path"]:
            yield File(block["path"], text)
        elif mark[:1] == ["sh"]:
            yield Command(text, fails="fails" in mark)
        elif mark == ["text"]:
            yield Printed(tuple(line for line in text.splitlines() if line.strip()))


def write_files(page: str, home: Path) -> list[str]:
    """Write the page's files below `home`; gives their paths."""
    files = [step for step in steps(page) if isinstance(step, File)]
    for file in files:
        _write(home, file)
    return [file.path for file in files]


def follow(page: str, home: Path, env: Mapping[str, str]) -> list[str]:
    """Do all of it in `home`; gives what each command printed. Raises where one does otherwise."""
    printed: list[str] = []
    for step in steps(page):
        if isinstance(step, File):
            _write(home, step)
        elif isinstance(step, Command):
            printed.append(run(step, home, env))
        else:
            said = printed[-1].splitlines()
            missing = [line for line in step.lines if not any(line in one for one in said)]
            assert missing == [], f"not printed: {missing}; instead:\n{printed[-1]}"
    return printed


def _write(home: Path, file: File) -> None:
    path = home / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.content, encoding="utf-8")


def run(command: Command, home: Path, env: Mapping[str, str]) -> str:
    """Run it in `home`; gives what it printed. Raises AssertionError where it ends otherwise."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("REENGAGE_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.text],
        cwd=home,
        env={**own, "COLUMNS": "200", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    ended_well = (done.returncode == 0) is not command.fails
    assert ended_well, f"{command.text}ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
