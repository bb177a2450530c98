"""Links between the pages, followed as GitHub follows them: to a file, and to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from reengage.settings import HOME

_FENCED = re.compile(r"^( *)(```|~~~)[^\n]*\n.*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_MARKED = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_NAMED = re.compile(r"<[^>]+ (?:id|name)=\"([^\"]+)\"")


def pages() -> list[str]:
    """Every page that belongs to the project, by its path: not what tools or runs put there."""
    places = [one for one in HOME.iterdir() if one.name != "var" and one.name[0] != "."]
    found = [path for one in places if one.is_dir() for path in one.rglob("*.md")]
    found += [one for one in places if one.suffix == ".md"]
    return sorted(str(path.relative_to(HOME)) for path in found)


def broken(page: str, home: Path = HOME) -> list[str]:
    """Links of a page that lead to no file of the project, or to no heading of it."""
    at = home / page
    found = _LINK.findall(_CODE.sub("", _prose(at)))
    return [link for link in found if ":" not in link and not _leads(at, link)]


def _leads(at: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = at.parent / path if path else at
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """What a link may name in it: its headings by GitHub's rule, and ids of its own."""
    prose = _prose(page)
    seen: Counter[str] = Counter()
    found = set(_NAMED.findall(prose))
    for heading in _HEADING.findall(prose):
        slug = slug_of(heading)
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def slug_of(heading: str) -> str:
    """Lower case, nothing but letters, digits, `_`, `-` and blanks, which become hyphens."""
    words = _MARKED.sub(r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))
