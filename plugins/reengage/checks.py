"""Checks: a Great Expectations suite, loaded strictly, run on a frame or in the warehouse.

Great Expectations logs and drops an expectation that it does not know, and the suite then passes
vacuously; here a suite loads whole or not at all, and a result is only taken when there is one for
every expectation. Runs are BOOLEAN_ONLY and keep type, column, severity and success: no value of a
row leaves this module (OLN-08). Great Expectations is imported when a suite is built, which takes
seconds; the executor's fork server pays for it once (preload).
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, event
from sqlalchemy.pool import StaticPool

from reengage.errors import ConfigurationError, GateError
from reengage.keys import digest
from reengage.warehouse import connect_args

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context import AbstractDataContext

Severity = Literal["critical", "warning", "info"]

_RESULT_FORMAT = {
    "result_format": "BOOLEAN_ONLY",
    "include_unexpected_rows": False,
    "partial_unexpected_count": 0,
}
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
# Keys of an expectation that could make it pass on less than every row, weigh less than its entry
# says, or keep rows' values.
_FORBIDDEN = frozenset(
    {
        "result_format", "catch_exceptions", "mostly", "row_condition", "condition_parser",
        "ignore_row_if", "severity", "batch_id", "windows",
    }
)  # fmt: skip
_PARAMETER = "$PARAMETER"


class _Meta(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: tuple[str, ...] = Field(min_length=1, description="ids of the rules it holds")
    why: str = Field(min_length=3, description="what must hold, for whoever reads a red gate")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: str = Field(pattern=r"^expect_[a-z_]+$")
    kwargs: dict[str, Any]
    severity: Severity
    meta: _Meta


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    expectations: tuple[_Entry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Suite:
    """A suite as its file states it. `digest` is the SHA-256 of the file."""

    name: str
    digest: str
    entries: tuple[_Entry, ...] = field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """What became of one expectation. `evaluated` is False when it could not be computed."""

    type: str
    column: str | None
    severity: Severity
    success: bool
    evaluated: bool = True

    def __str__(self) -> str:
        subject = f" on {self.column}" if self.column else ""
        return f"{self.type}{subject}" + ("" if self.evaluated else " (could not be evaluated)")


def load_suite(home: Path, name: str) -> Suite:
    """The suite expectations/<name>.json. Raises ConfigurationError naming file, place and fix."""
    shown = f"expectations/{name}.json"
    try:
        content = (home / shown).read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"{shown} is missing; create it or mend the name") from None
    except OSError as error:
        raise ConfigurationError(f"{shown} cannot be read ({error.strerror}); mend it") from None
    return _suite_of(name, content)


@lru_cache(maxsize=64)  # a task loads its suites several times, and each has dozens of expectations
def _suite_of(name: str, content: bytes) -> Suite:
    shown = f"expectations/{name}.json"
    try:
        document = _Document.model_validate(json.loads(content.decode(), object_pairs_hook=_once))
    except ValueError as error:  # JSON's and UTF-8's errors are ValueErrors, too
        raise ConfigurationError(f"{shown}: {_explained(error)}") from None
    if document.name != name:
        raise ConfigurationError(f"{shown}: its name is {document.name!r}; make it the file's name")
    for number, entry in enumerate(document.expectations, start=1):
        _require_known(f"{shown}: expectation {number}", entry)
    return Suite(name, digest(content), document.expectations)


def check_frame(
    suite: Suite, frame: pd.DataFrame, parameters: Mapping[str, object] | None = None
) -> list[Verdict]:
    """The suite's verdicts on a data frame, one per expectation."""
    context = _context()
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("all")
    return _run(context, suite, batch, parameters, {"dataframe": frame})


def require(suite: str, verdicts: Sequence[Verdict]) -> None:
    """Refuse a suite with a critical expectation that does not hold. Raises GateError naming it."""
    failed = [verdict for verdict in verdicts if not verdict.success]
    if stopping := [str(verdict) for verdict in failed if verdict.severity == "critical"]:
        raise GateError(
            f"suite {suite!r} is red: {', '.join(stopping)}; nothing was sent: mend the cause"
            f" (expectations/{suite}.json says what each expects), then clear the DAG run",
            countless=True,
        )


@dataclass(frozen=True)
class WarehouseSession:
    """One session of the warehouse, in which suites can look at what was prepared in it."""

    connection: Connection
    _context: AbstractDataContext = field(repr=False)
    _source: Any = field(repr=False)
    _queries: set[str] = field(default_factory=set, repr=False)

    def check(
        self, suite: Suite, query: str, parameters: Mapping[str, object] | None = None
    ) -> list[Verdict]:
        """The suite's verdicts on the rows of `query`, computed in the warehouse."""
        # Great Expectations takes a query for one only when its first word is SELECT.
        query = _COMMENT.sub("", query).strip()
        self._queries.add(query)
        asset = self._source.add_query_asset(suite.name, query=query)
        batch = asset.add_batch_definition_whole_table("all")
        return _run(self._context, suite, batch, parameters, None)


@contextmanager
def warehouse_session(url: str) -> Iterator[WarehouseSession]:
    """A session in which temporary tables made over `connection` are there for `check`, too."""
    context = _context()
    with warnings.catch_warnings():
        # It would rather be its PostgresDatasource, which refuses a Unix socket.
        warnings.filterwarnings("ignore", message=".*PostgresDatasource")
        source = context.data_sources.add_sql(
            "warehouse",
            connection_string=url,
            create_temp_table=False,
            kwargs={
                "poolclass": StaticPool,  # one connection for them and us: they see our tables
                "hide_parameters": True,
                "connect_args": connect_args(url),
            },
        )
    engine = source.get_execution_engine().engine
    try:
        with engine.connect() as connection:
            session = WarehouseSession(connection, context, source)
            _ask_for_names_only(engine, session._queries)
            yield session
    finally:
        engine.dispose()
        source.get_engine().dispose()  # the one with which it tried the connection


def _ask_for_names_only(engine: Any, queries: set[str]) -> None:
    """Keep a cohort of a million rows out of this process.

    Great Expectations runs a query whole, and reads all of it, only to learn its columns' names.
    """

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def without_rows(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        if statement in queries:
            statement = f"SELECT * FROM ({statement}) AS asked LIMIT 0"  # noqa: S608 - our own
        return statement, parameters


def _run(
    context: AbstractDataContext,
    suite: Suite,
    batch: BatchDefinition[Any],
    parameters: Mapping[str, object] | None,
    batch_parameters: dict[str, Any] | None,
) -> list[Verdict]:
    import great_expectations as gx

    _require_parameters(suite, parameters or {})
    wanted = [_as_gx(entry) for entry in suite.entries]
    built = context.suites.add(gx.ExpectationSuite(name=suite.name, expectations=wanted))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=suite.name, data=batch, suite=built)
    )
    found = definition.run(
        batch_parameters=batch_parameters,
        expectation_parameters=dict(parameters or {}),
        result_format=_RESULT_FORMAT,
    )
    verdicts = [_verdict(result) for result in found.results]
    if Counter(v.type for v in verdicts) != Counter(entry.type for entry in suite.entries):
        raise GateError(
            f"suite {suite.name!r} gave {len(verdicts)} results for {len(suite.entries)}"
            " expectations; nothing may be sent on a part of the checks"
        )
    return verdicts


def _require_parameters(suite: Suite, given: Mapping[str, object]) -> None:
    """Refuse a suite that asks for what its run does not give, before anything is checked."""
    for entry in suite.entries:
        for value in entry.kwargs.values():
            name = value.get(_PARAMETER) if isinstance(value, dict) else None
            if name is not None and given.get(str(name)) is None:
                raise ConfigurationError(
                    f"expectations/{suite.name}.json: {entry.type} asks for the parameter {name!r},"
                    f" which its run does not give; it gives {', '.join(given) or 'none'}"
                )


def _verdict(result: Any) -> Verdict:
    config = result.expectation_config
    raised = bool((result.exception_info or {}).get("raised_exception")) or not _flat(result)
    return Verdict(
        type=config.type,
        column=config.kwargs.get("column"),
        severity=str(getattr(config.severity, "value", config.severity)),  # type: ignore[arg-type]
        success=bool(result.success) and not raised,
        evaluated=not raised,
    )


def _flat(result: Any) -> bool:
    """Whether the exception information is of the one expectation, not of its metrics: then each
    metric that failed has an entry of its own."""
    return "raised_exception" in (result.exception_info or {"raised_exception": False})


def _as_gx(entry: _Entry) -> dict[str, Any]:
    return {
        "type": entry.type,
        "kwargs": entry.kwargs,
        "severity": entry.severity,
        "meta": entry.meta.model_dump(mode="json"),
    }


def _require_known(place: str, entry: _Entry) -> None:
    """Build the expectation as Great Expectations would, and say what it would have dropped."""
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    if weakening := sorted(_FORBIDDEN & entry.kwargs.keys()):
        raise ConfigurationError(
            f"{place} ({entry.type}): {', '.join(weakening)} could let a row pass unseen; remove it"
        )
    try:
        ExpectationConfiguration(**_as_gx(entry)).to_domain_obj()
    except (GreatExpectationsError, ValueError) as error:
        raise ConfigurationError(
            f"{place}: Great Expectations refuses {entry.type} ({_explained(error)});"
            " mend its type or kwargs"
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are given once each: of two, the last would silently count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {twice!r} is given twice in one object; keep one")
    return found


def _explained(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg'].lower()}"
    return " ".join(str(error).split())[:200]


def _context() -> AbstractDataContext:
    import great_expectations as gx

    # Great Expectations logs the text of a failing expectation's exception: it may quote a row.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL + 1)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context
