"""Reads: which columns of the contract a statement reads, found in its text.

So that an event says what the SQL asks and not what somebody once wrote down. Knows as much of SQL
as that needs: queries (a parenthesis that begins with SELECT or WITH), the views and aliases of
each, and names that refer to them. A name without a qualifier is the view's where the query's view
has such a column: SQL would not take it otherwise. A test holds it against PostgreSQL's own parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reengage.contract import Contract

_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'   # passed over
      |(?P<name>[A-Za-z_]\w*|"[^"]+")|(?P<other>::|:[A-Za-z_]\w*|\d[\w.]*|\S)""",
    re.VERBOSE | re.DOTALL,
)
_CLAUSE_ENDS = {"where", "group", "having", "window", "order", "limit", "offset", "fetch", "for"}
_SETS = {"union", "intersect", "except"}
_NO_ALIAS = _CLAUSE_ENDS | _SETS | {
    "join", "left", "right", "full", "inner", "cross", "natural", "on", "using", "tablesample",
}  # fmt: skip


@dataclass
class _Scope:
    """A SELECT: its own words, without those of the queries within it."""

    above: _Scope | None
    words: list[str] = field(default_factory=list)
    views: dict[str, str] = field(default_factory=dict)
    """Alias to view of the contract."""

    def view(self, alias: str) -> str | None:
        """The view that an alias stands for here, as an inner query sees it, too."""
        if alias in self.views:
            return self.views[alias]
        return self.above.view(alias) if self.above else None


def columns_read(sql: str, contract: Contract) -> frozenset[str]:
    """The contract's columns that the statement reads, as `view.column`."""
    columns = {view.name: {c.name for c in view.columns} for view in contract.views}
    found: set[str] = set()
    for scope in _scopes(_words(sql)):
        found |= {
            f"{view}.{name}" for view, name in _referred(scope, columns) if name in columns[view]
        }
    return frozenset(found)


def _words(sql: str) -> list[str]:
    """Names in lower case, or as they are between quotes; everything else as it stands."""
    found = []
    for match in _TOKEN.finditer(sql):
        if name := match["name"]:
            found.append(name.strip('"') if name.startswith('"') else name.lower())
        elif match["other"]:
            found.append(match["other"])
    return found


def _scopes(words: list[str]) -> list[_Scope]:
    """All queries of a statement, each with what it reads."""
    scopes = [_Scope(None)]
    open_ones: list[_Scope] = [scopes[0]]  # one per parenthesis
    for number, word in enumerate(words):
        if word == "(" and words[number + 1 : number + 2] in (["select"], ["with"]):
            open_ones[-1].words.append("()")
            scopes.append(_Scope(open_ones[-1]))
            open_ones.append(scopes[-1])
        elif word == "(":
            open_ones[-1].words.append(word)
            open_ones.append(open_ones[-1])
        elif word == ")" and len(open_ones) > 1:
            if open_ones.pop() is open_ones[-1]:
                open_ones[-1].words.append(word)
        elif word in _SETS:  # the next of several queries in one place
            scopes.append(_Scope(open_ones[-1].above))
            replaced = open_ones[-1]
            open_ones = [scopes[-1] if one is replaced else one for one in open_ones]
        else:
            open_ones[-1].words.append(word)
    for scope in scopes:
        _find_sources(scope)
    return scopes


def _find_sources(scope: _Scope) -> None:
    """The relations of its FROM clause."""
    words, in_from, depth = scope.words, False, 0
    for number, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if word == "from" and depth == 0:
            in_from = True
        elif word in _CLAUSE_ENDS and depth == 0:
            in_from = False
        begins = word == "join" or (in_from and depth == 0 and word in ("from", ","))
        following = words[number + 1 : number + 6]
        if not begins or not following:
            continue
        if following[0] == "contract" and following[1:2] == ["."]:
            named = [one for one in following[3:5] if one != "as"][:1]
            alias = named[0] if named and _is_alias(named[0]) else following[2]
            scope.views[alias] = following[2]


def _is_alias(word: str) -> bool:
    return word not in _NO_ALIAS and (word[0].isalpha() or word[0] == "_")


def _referred(scope: _Scope, columns: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """View and name of all that refers to a view, whether or not the view has such a column."""
    words = scope.words
    for number, word in enumerate(words):
        before = words[number - 1] if number else ""
        after = words[number + 1] if number + 1 < len(words) else ""
        if after == "." and before != ".":
            name = words[number + 2] if number + 2 < len(words) else ""
            if view := scope.view(word):
                yield from ((view, one) for one in (columns[view] if name == "*" else [name]))
        elif before not in (".", "as", "into") and after not in ("(", ".", "time"):
            yield from ((view, word) for view in scope.views.values())
