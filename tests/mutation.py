"""Mutants of a statement: the same statement, each time without one of its predicates.

for mutant in mutants(sql):            # read by PostgreSQL's own parser, printed back by pglast
    print(mutant.part, mutant.predicate, mutant.sql)

What filters (WHERE, JOIN ON, FILTER, the branches of a CASE, each part of an AND or OR) is deleted;
what is told as a value (a boolean column, the argument of an aggregate, a sort key) is told of all
alike, which is what deleting comes to there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, parse_sql
from pglast.enums import A_Expr_Kind, BoolExprType
from pglast.stream import RawStream

_NAME = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_COMPARING = {"=", "<>", "<", ">", "<=", ">=", "~"}
_FILTERS = {("SelectStmt", "whereClause"), ("JoinExpr", "quals"), ("FuncCall", "agg_filter")}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mutant:
    """A statement that lacks one predicate."""

    part: str
    """The WITH query in which it stands, or `main`."""
    predicate: str
    _bare: str = field(repr=False)
    _names: list[str] = field(repr=False)
    _path: Path = field(repr=False)

    @property
    def sql(self) -> str:
        """Printed when asked for: that takes longer than to find the predicate."""
        [whole] = parse_sql(self._bare)
        _delete(whole.stmt, self._path)
        return _with_names(whole, self._names)

    def __str__(self) -> str:
        return f"{self.part}: {self.predicate}"


def mutants(sql: str) -> Iterator[Mutant]:
    """One for every predicate, in the order in which they stand."""
    bare, names = _without_names(sql)
    [whole] = parse_sql(bare)
    for path, node in _sites(whole.stmt, (), None):
        yield Mutant(_part(whole.stmt, path), _shown(node, names), bare, names, path)


def printed(sql: str) -> str:
    """The statement itself, read and printed back."""
    bare, names = _without_names(sql)
    [whole] = parse_sql(bare)
    return _with_names(whole, names)


def _without_names(sql: str) -> tuple[str, list[str]]:
    """`:as_of` is no PostgreSQL; numbers are."""
    sql = re.sub(r"--.*", "", sql)
    names = sorted(set(_NAME.findall(sql)))
    return _NAME.sub(lambda found: f"${names.index(found[1]) + 1}", sql), names


def _with_names(node: Any, names: list[str]) -> str:
    printed: str = RawStream()(node)
    return re.sub(r"\$(\d+)", lambda found: f"(:{names[int(found[1]) - 1]})", printed)


def _shown(node: Any, names: list[str]) -> str:
    if isinstance(node, ast.CaseWhen):
        return f"WHEN {_shown(node.expr, names)} THEN {_shown(node.result, names)}"
    return re.sub(r"\(:(\w+)\)", r":\1", _with_names(node, names))


# --- where predicates stand ---


def _sites(node: Any, path: Path, above: tuple[Any, str] | None) -> Iterator[tuple[Path, Any]]:
    """Every predicate below a node. `above` is the node that it hangs on, and the attribute."""
    if isinstance(node, tuple):
        for number, one in enumerate(node):
            yield from _sites(one, (*path, number), above)
        return
    if not isinstance(node, ast.Node):
        return
    if _is_site(node, above):
        yield path, node
    for name in node:
        yield from _sites(getattr(node, name), (*path, name), (node, name))


def _is_site(node: Any, above: tuple[Any, str] | None) -> bool:
    if above is None:
        return False
    parent, name = above
    if isinstance(node, ast.CaseWhen):
        return True
    if _is_and_or(node):
        return _is_and_or(parent)  # each of its parts is one; and the whole of it, within another
    if _is_and_or(parent) or (type(parent).__name__, name) in _FILTERS:
        return True
    if isinstance(parent, ast.CaseWhen) and name == "expr":
        return False  # the branch is one
    if isinstance(parent, ast.BooleanTest) or _is_not(parent):
        return False  # `x IS NOT TRUE` and `NOT x` are
    return _is_predicate(node)


def _is_predicate(node: Any) -> bool:
    if isinstance(node, ast.A_Expr):
        operator = node.name[-1].sval
        return node.kind in (A_Expr_Kind.AEXPR_OP, A_Expr_Kind.AEXPR_OP_ANY) and (
            operator in _COMPARING
        )
    return isinstance(node, ast.NullTest | ast.BooleanTest) or _is_not(node)


def _is_and_or(node: Any) -> bool:
    return isinstance(node, ast.BoolExpr) and node.boolop != BoolExprType.NOT_EXPR


def _is_not(node: Any) -> bool:
    return isinstance(node, ast.BoolExpr) and node.boolop == BoolExprType.NOT_EXPR


# --- the same without one ---


def _delete(root: Any, path: Path) -> None:
    """Take it out of the tree."""
    parent, last = _at(root, path[:-1]), path[-1]
    if last in ("whereClause", "agg_filter"):
        setattr(parent, str(last), None)
        return
    if isinstance(parent, ast.SortBy):
        keys = _at(root, path[:-2])
        _put(root, path[:-2], tuple(key for key in keys if key is not parent))
        return
    holder = _at(root, path[:-2]) if isinstance(parent, tuple) else None
    left = tuple(n for i, n in enumerate(parent) if i != last) if holder is not None else ()
    if isinstance(holder, ast.CaseExpr):
        _shorten_case(root, path[:-2], left)
    elif _is_and_or(holder):
        _shorten_logic(root, path[:-2], left)
    else:
        is_any = isinstance(holder, ast.FuncCall) and holder.funcname[-1].sval == "bool_or"
        _put(root, path, ast.A_Const(val=ast.Boolean(boolval=not is_any)))


def _shorten_case(root: Any, path: Path, left: tuple[Any, ...]) -> None:
    case = _at(root, path)
    if left:
        case.args = left
    else:
        _put(root, path, case.defresult or ast.A_Const(isnull=True))


def _shorten_logic(root: Any, path: Path, left: tuple[Any, ...]) -> None:
    if len(left) > 1:
        _at(root, path).args = left
    else:
        _put(root, path, left[0])


def _put(root: Any, path: Path, new: Any) -> None:
    parent, last = _at(root, path[:-1]), path[-1]
    if isinstance(parent, tuple):
        holder, name = _at(root, path[:-2]), path[-2]
        setattr(holder, str(name), tuple(new if n == last else one for n, one in enumerate(parent)))
    else:
        setattr(parent, str(last), new)


def _at(root: Any, path: Path) -> Any:
    for step in path:
        root = root[step] if isinstance(step, int) else getattr(root, step)
    return root


def _part(root: Any, path: Path) -> str:
    """Name of the WITH query that a path leads into."""
    node = root
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
        if isinstance(node, ast.CommonTableExpr):
            return str(node.ctename)
    return "main"
