"""The commands that a page names, read so that the real parser can be asked about them.

A page may write a command as a person reads it: `[--json]` for what may be left out, `show | stop`
for one of two, DAY or LETTER for a value of the reader's own, `$ ` before it and a remark after it.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reengage.cli.main import parser

_FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_OURS = re.compile(r"(?:\S*python[0-9.]*) -m reengage(?![\w.])\s*(.*)$")
_MAKE = re.compile(r"^(?:[A-Z_]+=\S+ )*make(?: (.*))?$")
_ID = "00000000-0000-4000-8000-000000000000"
_VALUES = {
    "DAY": "2026-01-01", "LETTER": _ID, "SUPPRESSION": _ID, "INCIDENT": _ID, "INDEX": "0",
    "SIX_YEARS_AGO": "2020-01-01", "PURPOSE": "wrap", "NUMBER": "1",
    "INSTANT": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
"""What stands for a word in capitals, or for `$word`; any other stands for itself."""


@dataclass(frozen=True)
class Written:
    """A command as a page has it."""

    page: str
    text: str
    in_prose: bool = False
    """There a command may be named without what it needs."""

    def fault(self) -> str | None:
        """What the command line, or the Makefile, has against it; None = nothing."""
        if ours := _OURS.search(self.text):
            fault = _fault(_words(ours[1]))
            bare = self.in_prose and "arguments are required" in str(fault)
            return None if bare else fault
        made = _MAKE.match(self.text)
        return _fault_of_make(made[1] or "") if made else None


def commands(home: Path) -> list[Written]:
    """Every one in README.md, docs/ and the pages of deploy/."""
    found = []
    pages = [*home.glob("docs/**/*.md"), *home.glob("deploy/**/*.md")]
    for path in [home / "README.md", *sorted(pages)]:
        page = path.read_text(encoding="utf-8")
        texts = [(line, False) for block in _FENCED.findall(page) for line in _lines(block)]
        texts += [(text, True) for text in _INLINE.findall(_FENCED.sub("", page))]
        found += [
            Written(str(path.relative_to(home)), text, in_prose)
            for text, in_prose in texts
            if _OURS.search(text) or (_MAKE.match(text) and not text.endswith(("…", " *")))
        ]
    return found


def _lines(block: str) -> Iterator[str]:
    """A block's commands: continued lines joined, without prompts, remarks and pipes.

    Where a block shows what a program prints, its commands are those that it quotes.
    """
    for line in block.replace("\\\n", " ").splitlines():
        if quoted := _INLINE.findall(line):
            yield from quoted
            continue
        text = re.sub(r"\s#\s.*$", "", line).strip().removeprefix("$ ")
        parts = re.split(r"\s+(?:\|\||&&|;|\|(?=.*-m reengage))\s+", text)
        yield from parts


def _words(rest: str) -> str:
    """With a value in place of each word that stands for one."""
    rest = re.sub(r"\"?\$\([^)]*\)\"?", _VALUES["DAY"], rest)
    rest = re.sub(r"\$\{?([A-Za-z_]+)\}?", lambda m: _VALUES.get(m[1].upper(), m[1]), rest)
    rest = re.sub(r"\s*(?:[0-9]?>>?|<)\s*\S+", "", rest)
    return re.sub(r"\b[A-Z]{3,}\b", lambda m: _VALUES.get(m[0], m[0]), rest)


def _fault(rest: str) -> str | None:
    """Each of several commands must be one; what may be left out must fit at least one of them."""
    faults = []
    whole = 0
    for one in _alternatives(rest):
        full = _parse(re.sub(r"[\[\]]", "", one))
        bare = _parse(re.sub(r"\[[^\]]*\]", "", one))
        whole += full is None
        if full and bare:
            faults.append(full)
    return faults[0] if faults else None if whole else "nothing fits what it says may be left out"


def _alternatives(rest: str) -> list[str]:
    """`show | stop X` as `show X` and `stop X`; without such, the command itself."""
    found = re.search(r"(\w[\w-]*)((?: \| \w[\w-]*)+)", rest)
    if not found:
        return [rest.partition(" | ")[0]]
    names = [found[1], *re.findall(r"\w[\w-]*", found[2])]
    return [rest[: found.start()] + name + rest[found.end() :] for name in names]


def _parse(rest: str) -> str | None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser().parse_args(shlex.split(rest))
        except SystemExit as end:
            if end.code:
                return said.getvalue().strip().rpartition("error: ")[2]
    return None


def _fault_of_make(rest: str) -> str | None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\((?:if |or |filter-out 0,\$\()?\$?\(?([A-Z_]+)", makefile))
    for word in shlex.split(re.sub(r"[\[\]]", "", rest)):
        name, is_variable, _ = word.partition("=")
        if is_variable and name not in variables | {"PYTHON"}:
            return f"the Makefile reads no variable {name}"
        if not is_variable and re.fullmatch(r"[a-z][a-z-]*", word) and word not in targets:
            return f"the Makefile has no target {word}"
    return None


def airflow_commands(home: Path) -> list[str]:
    """Every command of Airflow's own that a page has in a fenced block."""
    return [
        _words(text)
        for path in [home / "README.md", *sorted(home.glob("docs/**/*.md"))]
        for block in _FENCED.findall(path.read_text(encoding="utf-8"))
        for text in _lines(block)
        if text.startswith("airflow ")
    ]
