"""Which columns of the contract a statement reads and passes on, by PostgreSQL's own parser.

read = trace(sql, contract)            # `view.column` of all that it names anywhere
read.columns, read.given["recipient"]  # and of what the column `recipient` of its result is made

Made of is what stands where a value goes over: not the condition of a CASE, not a FILTER, not the
order of an aggregate. A second opinion on `reengage.lineage.reads`, which reads the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, parse_sql
from reengage.contract import Contract

_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
Lineage = dict[str, set[str]]


@dataclass
class Traced:
    """What is known of a statement."""

    columns: set[str] = field(default_factory=set)
    given: Lineage = field(default_factory=dict)


@dataclass
class _Relation:
    """Something in a FROM clause."""

    columns: Lineage | None
    """None = a table that is none of the contract's: it has any column, made of nothing of it."""
    view: str | None = None

    def has(self, name: str) -> bool:
        return self.columns is None or name in self.columns


@dataclass
class _Scope:
    relations: dict[str, _Relation]
    above: _Scope | None

    def qualified(self, alias: str) -> _Relation | None:
        if alias in self.relations:
            return self.relations[alias]
        return self.above.qualified(alias) if self.above else None

    def unqualified(self, name: str) -> _Relation | None:
        known = [one for one in self.relations.values() if one.columns is not None]
        for one in [*known, *self.relations.values()]:
            if one.has(name):
                return one
        return self.above.unqualified(name) if self.above else None


def trace(sql: str, contract: Contract) -> Traced:
    """All of a statement, or of several."""
    tracer = _Tracer(contract)
    bare = _PARAMETER.sub("NULL", re.sub(r"--.*", "", sql))
    for whole in parse_sql(bare):
        statement: Any = whole.stmt
        if isinstance(statement, ast.InsertStmt):
            ctes = tracer.with_queries(statement.withClause, {}, None)
            statement = statement.selectStmt
            tracer.found.given |= tracer.select(statement, ctes, None)
        elif isinstance(statement, ast.SelectStmt):
            tracer.found.given |= tracer.select(statement, {}, None)
    return tracer.found


class _Tracer:
    def __init__(self, contract: Contract) -> None:
        self.views = {view.name: [c.name for c in view.columns] for view in contract.views}
        self.found = Traced()

    def select(self, query: Any, ctes: dict[str, _Relation], above: _Scope | None) -> Lineage:
        ctes = self.with_queries(query.withClause, ctes, above)
        if query.larg:
            left = self.select(query.larg, ctes, above)
            right = list(self.select(query.rarg, ctes, above).values())
            return {name: of | right[n] for n, (name, of) in enumerate(left.items())}
        scope = _Scope({}, above)
        for source in query.fromClause or ():
            self.source(source, scope, ctes)
        for node in self.nodes(query):
            if isinstance(node, ast.SubLink):
                self.select(node.subselect, ctes, scope)
        self.read(query, scope)
        return self.given(query, scope, ctes)

    def with_queries(
        self, clause: Any, ctes: dict[str, _Relation], above: _Scope | None
    ) -> dict[str, _Relation]:
        known = dict(ctes)
        for one in clause.ctes if clause else ():
            known[one.ctename] = _Relation(self.select(one.ctequery, known, above))
        return known

    def source(self, node: Any, scope: _Scope, ctes: dict[str, _Relation]) -> None:
        if isinstance(node, ast.JoinExpr):
            self.source(node.larg, scope, ctes)
            self.source(node.rarg, scope, ctes)
            for name in node.usingClause or ():
                for one in scope.relations.values():
                    if one.view and one.has(name.sval):
                        self.found.columns.add(f"{one.view}.{name.sval}")
            self.read(node.quals, scope)
            for inner in self.nodes(node.quals):
                if isinstance(inner, ast.SubLink):
                    self.select(inner.subselect, ctes, scope)
        elif isinstance(node, ast.RangeVar):
            name = node.alias.aliasname if node.alias else node.relname
            if node.schemaname == "contract":
                columns = {c: {f"{node.relname}.{c}"} for c in self.views[node.relname]}
                scope.relations[name] = _Relation(columns, node.relname)
            else:
                scope.relations[name] = ctes.get(node.relname, _Relation(None))
        elif isinstance(node, ast.RangeSubselect):
            inner = self.select(node.subquery, ctes, scope if node.lateral else scope.above)
            scope.relations[node.alias.aliasname] = _Relation(inner)
        elif isinstance(node, ast.RangeFunction):
            self.read(node.functions, scope)
            made = set().union(*self.made_of(node.functions, scope, ctes))
            names = [one.sval for one in node.alias.colnames or ()] if node.alias else []
            alias = node.alias.aliasname if node.alias else ""
            scope.relations[alias] = _Relation(dict.fromkeys(names, made) if names else None)

    def given(self, query: Any, scope: _Scope, ctes: dict[str, _Relation]) -> Lineage:
        found: Lineage = {}
        for number, target in enumerate(query.targetList or ()):
            if isinstance(target.val, ast.ColumnRef) and isinstance(
                target.val.fields[-1], ast.A_Star
            ):
                for one in self.starred(target.val, scope):
                    found |= one.columns or {}
                continue
            name = target.name or self.own_name(target.val) or f"column {number}"
            found[name] = set().union(*self.made_of(target.val, scope, ctes))
        return found

    def starred(self, ref: Any, scope: _Scope) -> list[_Relation]:
        if len(ref.fields) == 1:
            return list(scope.relations.values())
        one = scope.qualified(ref.fields[0].sval)
        return [one] if one else []

    @staticmethod
    def own_name(value: Any) -> str | None:
        if isinstance(value, ast.ColumnRef):
            return str(value.fields[-1].sval)
        if isinstance(value, ast.FuncCall):
            return str(value.funcname[-1].sval)
        return None

    def made_of(self, node: Any, scope: _Scope, ctes: dict[str, _Relation]) -> Iterator[set[str]]:
        """The contract's columns whose values go over, one by one."""
        if isinstance(node, tuple):
            for one in node:
                yield from self.made_of(one, scope, ctes)
        elif isinstance(node, ast.ColumnRef):
            relation, name = self.resolve(node, scope)
            if relation and relation.columns:
                yield relation.columns.get(name, set())
        elif isinstance(node, ast.CaseExpr):
            for branch in node.args:
                yield from self.made_of(branch.result, scope, ctes)
            yield from self.made_of(node.defresult, scope, ctes)
        elif isinstance(node, ast.SubLink):
            found = Traced()
            kept, self.found = self.found, found
            yield from self.select(node.subselect, ctes, scope).values()
            self.found = kept
        elif isinstance(node, ast.FuncCall):
            yield from self.made_of(node.args, scope, ctes)
        elif isinstance(node, ast.Node):
            for name in node:
                yield from self.made_of(getattr(node, name), scope, ctes)

    def read(self, node: Any, scope: _Scope) -> None:
        for one in self.nodes(node):
            if not isinstance(one, ast.ColumnRef):
                continue
            if isinstance(one.fields[-1], ast.A_Star):
                for relation in self.starred(one, scope):
                    if relation.view:
                        every = relation.columns or {}
                        self.found.columns |= {f"{relation.view}.{name}" for name in every}
                continue
            relation, name = self.resolve(one, scope)
            if relation and relation.view and relation.has(name):
                self.found.columns.add(f"{relation.view}.{name}")

    @staticmethod
    def resolve(ref: Any, scope: _Scope) -> tuple[_Relation | None, str]:
        *qualifier, last = [one.sval for one in ref.fields]
        return (scope.qualified(qualifier[-1]) if qualifier else scope.unqualified(last)), last

    def nodes(self, node: Any, *, top: bool = True) -> Iterator[Any]:
        """Every node below that is of this query, not of one within it."""
        if isinstance(node, tuple):
            for one in node:
                yield from self.nodes(one, top=top)
            return
        if not isinstance(node, ast.Node):
            return
        if not top and isinstance(node, ast.SelectStmt):
            return
        yield node
        for name in node:
            if isinstance(node, ast.SelectStmt) and name in ("withClause", "fromClause"):
                continue
            yield from self.nodes(getattr(node, name), top=False)
