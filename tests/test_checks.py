"""Checks: a suite loads whole or not at all, and nothing passes that was not looked at.

Great Expectations itself is in play everywhere; the verdicts and errors hold no value of a row
(OLN-08).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from databases import Makes
from reengage import checks
from reengage.errors import ConfigurationError, GateError
from reengage.settings import HOME
from sqlalchemy import text

RULE = re.compile(r"(PRV|SEC|TRK|EML|LOG|OLN)-\d\d")
SUITES = sorted(path.stem for path in (HOME / "expectations").glob("*.json"))
UNIQUE = "expect_column_values_to_be_unique"
IN_SET = "expect_column_values_to_be_in_set"
PATIENTS = pd.DataFrame({"name": ["canary-a", "canary-a", "canary-b"], "count": [1, 2, 3]})


def entry(type_: str, severity: str = "critical", **kwargs: object) -> dict[str, Any]:
    meta = {"rules": ["PRV-18"], "why": "it must"}
    return {"type": type_, "kwargs": kwargs, "severity": severity, "meta": meta}


Load = Callable[..., checks.Suite]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        folder = tmp_path / "expectations"
        folder.mkdir(exist_ok=True)
        octets = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / "tried.json").write_bytes(octets)
        return tmp_path

    return write


@pytest.fixture
def suite(write: Callable[[object], Path]) -> Load:
    def load(*entries: dict[str, Any]) -> checks.Suite:
        return checks.load_suite(write({"name": "tried", "expectations": entries}), "tried")

    return load


def told(suite: Load, *entries: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as error:
        suite(*entries)
    assert str(error.value).startswith("expectations/tried.json")
    return str(error.value)


# --- the suites of the project ---


@pytest.mark.parametrize("name", SUITES)
def test_every_expectation_cites_rules_and_says_why(name: str) -> None:
    for one in checks.load_suite(HOME, name).entries:
        assert all(RULE.fullmatch(rule) for rule in one.meta.rules)
        assert len(one.meta.why) > 10


@pytest.mark.parametrize("name", SUITES)
def test_every_expectation_stops_the_run(name: str) -> None:
    assert {one.severity for one in checks.load_suite(HOME, name).entries} == {"critical"}


def test_a_batch_column_that_is_looked_into_is_also_asked_for_nulls() -> None:
    # Great Expectations passes over nulls: alone, such an expectation holds of an empty column.
    entries = checks.load_suite(HOME, "batch").entries
    filled = {
        e.kwargs["column"] for e in entries if e.type == "expect_column_values_to_not_be_null"
    }
    looked_into = {e.kwargs["column"] for e in entries if "column" in e.kwargs}
    assert looked_into - filled == set()


# --- loading: whole or not at all ---


def test_a_suite_knows_its_name_its_file_and_its_entries(suite: Load) -> None:
    found = suite(entry(UNIQUE, column="name"), entry(UNIQUE, column="count"))
    assert (found.name, len(found.entries), len(found.digest)) == ("tried", 2, 64)
    assert found.digest != suite(entry(UNIQUE, column="name")).digest


@pytest.mark.parametrize(
    ("type_", "kwargs", "fault"),
    [
        ("expect_column_values_to_be_uniqe", {"column": "name"}, "to_be_uniqe not found"),
        ("expect_nobody_dead", {}, "expect_nobody_dead not found"),
        (UNIQUE, {}, "column field required"),
        (UNIQUE, {"colum": "name"}, "colum extra fields not permitted"),
        (UNIQUE, {"column": 3.5, "more": 1}, "more extra fields not permitted"),
        (IN_SET, {"column": "name", "value_set": None}, "value_set none is not an allowed value"),
        ("expect_column_values_to_be_between", {"column": "count"}, "cannot both be None"),
    ],
)
def test_what_great_expectations_would_drop_is_refused(
    suite: Load, type_: str, kwargs: dict[str, object], fault: str
) -> None:
    found = told(suite, entry(UNIQUE, column="count"), entry(type_, **kwargs))
    assert found.startswith("expectations/tried.json: expectation 2: Great Expectations refuses")
    assert fault in found
    assert found.endswith("mend its type or kwargs")


@pytest.mark.parametrize(
    "key",
    ["result_format", "mostly", "row_condition", "condition_parser", "catch_exceptions",
     "ignore_row_if", "severity", "batch_id", "windows"],
)  # fmt: skip
def test_what_could_let_a_row_pass_unseen_is_refused(suite: Load, key: str) -> None:
    one = entry(UNIQUE, column="name")
    one["kwargs"][key] = "info"
    assert f"expectation 1 ({UNIQUE}): {key} could let a row pass" in told(suite, one)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda one: one.pop("meta"), "expectations.0.meta: field required"),
        (lambda one: one["meta"].pop("rules"), "expectations.0.meta.rules: field required"),
        (lambda one: one["meta"].update(rules=[]), "expectations.0.meta.rules: tuple should have"),
        (lambda one: one["meta"].pop("why"), "expectations.0.meta.why: field required"),
        (lambda one: one["meta"].update(note=""), "expectations.0.meta.note: extra inputs are"),
        (lambda one: one.pop("severity"), "expectations.0.severity: field required"),
        (lambda one: one.update(severity="fatal"), "severity: input should be 'critical', 'warn"),
        (lambda one: one.update(mostly=0.9), "expectations.0.mostly: extra inputs are not perm"),
        (lambda one: one.pop("kwargs"), "expectations.0.kwargs: field required"),
        (lambda one: one.update(type="unexpected_rows"), "expectations.0.type: string should"),
    ],
)
def test_an_entry_of_another_form_is_refused(
    suite: Load, spoil: Callable[[dict[str, Any]], object], fault: str
) -> None:
    one = entry(UNIQUE, column="name")
    spoil(one)
    assert fault in told(suite, one)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "expecting value"),
        (b'{"name": "tried",', "expecting property name"),
        (b"\xff\xfe", "utf-8"),
        ([], "input should be a valid dictionary"),
        ({"name": "tried", "expectations": []}, "expectations: tuple should have at least 1"),
        ({"name": "tried"}, "expectations: field required"),
        ({"name": "other", "expectations": [entry(UNIQUE, column="name")]}, "name is 'other'"),
        (
            {"name": "tried", "expectations": [entry(UNIQUE, column="name")], "meta": {}},
            "meta: extra inputs are not permitted",
        ),
        (
            b'{"name": "tried", "name": "tried", "expectations": []}',
            "key 'name' is given twice in one object; keep one",
        ),
        (
            b'{"name": "tried", "expectations": [{"severity": "critical", "severity": "info"}]}',
            "key 'severity' is given twice",
        ),
    ],
)
def test_a_file_that_is_no_suite_is_refused(
    write: Callable[[object], Path], content: object, fault: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        checks.load_suite(write(content), "tried")
    assert str(error.value).startswith("expectations/tried.json")
    assert fault in str(error.value).lower()


def test_a_suite_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expectations/nosuch\.json is missing; create"):
        checks.load_suite(tmp_path, "nosuch")
    (tmp_path / "expectations" / "folder.json").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"folder\.json cannot be read \(Is a directory\)"):
        checks.load_suite(tmp_path, "folder")


# --- a frame: nothing passes that was not looked at ---


def test_each_expectation_gets_its_verdict(suite: Load) -> None:
    found = checks.check_frame(
        suite(entry(UNIQUE, column="name"), entry(UNIQUE, "warning", column="count")), PATIENTS
    )
    assert found == [
        checks.Verdict(UNIQUE, "name", "critical", success=False),
        checks.Verdict(UNIQUE, "count", "warning", success=True),
    ]


@pytest.mark.parametrize(
    "one",
    [
        entry(UNIQUE, column="no_such_column"),
        entry("expect_column_values_to_match_regex", column="name", regex="("),
        entry("expect_column_values_to_be_between", column="name", min_value=1),
    ],
    ids=["a column that is not there", "a pattern that is none", "values that do not compare"],
)
def test_an_expectation_that_raises_is_a_failure(suite: Load, one: dict[str, Any]) -> None:
    raising, other = checks.check_frame(suite(one, entry(UNIQUE, column="count")), PATIENTS)
    assert (raising.success, raising.evaluated) == (False, False)
    assert (other.success, other.evaluated) == (True, True)
    assert str(raising).endswith("(could not be evaluated)")
    with pytest.raises(GateError, match=r"could not be evaluated"):
        checks.require("tried", [raising, other])


@pytest.mark.parametrize("given", [{}, {"others": ["x"]}, {"names": None}])
def test_a_parameter_that_is_not_given_cannot_pass_silently(
    suite: Load, given: dict[str, object]
) -> None:
    tried = suite(entry(IN_SET, column="name", value_set={"$PARAMETER": "names"}))
    with pytest.raises(
        ConfigurationError,
        match=rf"tried\.json: {IN_SET} asks for the parameter 'names', which its run does not give",
    ):
        checks.check_frame(tried, PATIENTS, given)


@pytest.mark.parametrize("expression", ["names + 1", "now()", "$PARAMETER", ""])
def test_a_parameter_is_a_name_and_nothing_to_compute(suite: Load, expression: str) -> None:
    tried = suite(entry(IN_SET, column="name", value_set={"$PARAMETER": expression}))
    with pytest.raises(ConfigurationError, match="asks for the parameter"):
        checks.check_frame(tried, PATIENTS, {"names": ["canary-a"]})


def test_a_parameter_that_is_given_counts(suite: Load) -> None:
    tried = suite(entry(IN_SET, column="name", value_set={"$PARAMETER": "names"}))
    for names, success in ((["canary-a", "canary-b"], True), (["canary-a"], False), ([], False)):
        (verdict,) = checks.check_frame(tried, PATIENTS, {"names": names})
        assert (verdict.success, verdict.evaluated) == (success, True)


def test_a_result_that_is_missing_is_no_pass(suite: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = suite(entry(UNIQUE, column="count"), entry(UNIQUE, column="name"))
    whole = checks._as_gx
    monkeypatch.setattr(checks, "_as_gx", lambda one: whole(tried.entries[0]))
    monkeypatch.setattr(checks, "_verdict", lambda result: _other_type(result))
    with pytest.raises(GateError, match="gave 2 results for 2 expectations; nothing may be sent"):
        checks.check_frame(tried, PATIENTS)


def _other_type(result: Any) -> checks.Verdict:
    return checks.Verdict(IN_SET, result.expectation_config.kwargs["column"], "critical", True)


def test_no_value_of_a_row_is_in_a_verdict_an_error_or_a_log(
    suite: Load, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # OLN-08
    tried = suite(
        entry(UNIQUE, column="name"),
        entry(IN_SET, column="name", value_set=["x"]),
        entry("expect_column_values_to_be_between", column="name", min_value=1),
        entry("expect_column_values_to_match_regex", column="name", regex="^x"),
    )
    caplog.set_level("DEBUG")
    verdicts = checks.check_frame(tried, PATIENTS)
    assert [verdict.success for verdict in verdicts] == [False] * 4
    with pytest.raises(GateError) as error:
        checks.require("tried", verdicts)
    printed = capfd.readouterr()
    shown = [repr(verdicts), *map(str, verdicts), repr(error.value), printed.out, printed.err]
    assert [one for one in [*shown, caplog.text] if "canary" in one] == []


# --- what a verdict does ---


def test_a_critical_failure_is_red_and_names_all_of_them() -> None:
    verdicts = [
        checks.Verdict(UNIQUE, "name", "critical", success=False),
        checks.Verdict(IN_SET, "language", "critical", success=True),
        checks.Verdict("expect_table_columns_to_match_set", None, "critical", success=False),
    ]
    with pytest.raises(GateError) as error:
        checks.require("batch", verdicts)
    assert str(error.value) == (
        f"suite 'batch' is red: {UNIQUE} on name, expect_table_columns_to_match_set; nothing was"
        " sent: mend the cause (expectations/batch.json says what each expects), then clear the"
        " DAG run"
    )


def test_a_warning_does_not_stop_and_a_green_suite_passes() -> None:
    checks.require("batch", [checks.Verdict(UNIQUE, "name", "warning", success=False)])
    checks.require("batch", [checks.Verdict(UNIQUE, "name", "critical", success=True)])


# --- in the warehouse ---


@pytest.fixture
def session(database: Makes) -> Iterator[checks.WarehouseSession]:
    with checks.warehouse_session(database(None)) as opened:
        opened.connection.execute(text("CREATE TEMPORARY TABLE seen (name text, alive boolean)"))
        opened.connection.execute(text("INSERT INTO seen VALUES ('canary', true)"))
        opened.connection.commit()
        yield opened


def test_a_suite_sees_the_sessions_own_tables(
    session: checks.WarehouseSession, suite: Load
) -> None:
    tried = suite(entry(IN_SET, column="alive", value_set=[True]), entry(UNIQUE, column="name"))
    query = "-- a comment first\nSELECT * FROM seen"
    assert [verdict.success for verdict in session.check(tried, query)] == [True, True]
    session.connection.execute(text("UPDATE seen SET alive = false"))
    session.connection.commit()
    again = replace(tried, name="again")
    assert [verdict.success for verdict in session.check(again, query)] == [False, True]


@pytest.mark.parametrize(
    ("column", "query"),
    [
        ("gone", "SELECT * FROM seen"),
        ("alive", "SELECT 1 / 0 AS alive FROM seen"),
        ("alive", "SELECT CAST(name AS date) AS alive FROM seen"),  # the driver quotes the name
    ],
)
def test_what_the_warehouse_cannot_compute_is_no_pass_and_tells_no_row(
    session: checks.WarehouseSession,
    suite: Load,
    column: str,
    query: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # OLN-08
    tried = suite(entry(IN_SET, column=column, value_set=[True]))
    (verdict,) = session.check(tried, query)
    assert (verdict.success, verdict.evaluated) == (False, False)
    printed = capfd.readouterr()
    shown = [repr(verdict), caplog.text, printed.out, printed.err]
    assert [one for one in shown if "canary" in one] == []
