"""The rules, what is cited where, and the page that is made of both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reengage.cli.citations import Citations, cited_in, citing_tests, read_citations
from reengage.cli.compliance import Rules, compliance_markdown, load_rules
from reengage.errors import ConfigurationError
from reengage.settings import HOME
from reengage.yamlfile import FileError

RULES = load_rules(HOME)
FOLDERS = ("plugins", "dags", "sql", "campaigns", "templates", "tests", "docs", "bench")
TEXTS = sorted(
    path
    for path in [*HOME.glob("*"), *(p for one in FOLDERS for p in (HOME / one).rglob("*"))]
    if path.suffix in {".py", ".sql", ".yaml", ".md", ".txt", ".mjml"} and path.is_file()
)


@pytest.fixture(scope="module")
def cited() -> Citations:
    return read_citations(HOME)


def rule(number: int, family: str = "PRV") -> str:
    """An id that stands nowhere in this file."""
    return f"{family}-{number:02}"


def lacking(ids: set[str], rules: Rules) -> set[str]:
    """Of these, what looks like an id of ours and is none: mistyped."""
    return {
        one
        for one in ids - set(rules.rules)
        if one[:3] in rules.families or re.fullmatch(r"[A-Z]{3}-\d\d", one)
    }


# --- this checkout ---


def test_every_id_that_is_cited_anywhere_is_a_rule() -> None:
    mistyped = {
        str(path.relative_to(HOME)): sorted(wrong)
        for path in TEXTS
        if (wrong := lacking(cited_in(path.read_text(encoding="utf-8")), RULES))
    }
    assert mistyped == {}


def test_every_expectation_holds_rules_that_are_held(cited: Citations) -> None:
    status = {
        one: RULES.rules[one].status if one in RULES.rules else "unknown"
        for one in cited.expectations
    }
    assert {one: state for one, state in status.items() if state != "held"} == {}


def test_what_is_called_held_stands_in_code_or_a_suite(cited: Citations) -> None:
    held = {one for one, told in RULES.rules.items() if told.status == "held"}
    assert sorted(held - set(cited.code) - set(cited.expectations)) == []


def test_what_is_called_held_has_a_test(cited: Citations) -> None:
    held = {one for one, told in RULES.rules.items() if told.status == "held"}
    assert sorted(held - set(cited.tests)) == []


def test_no_family_has_a_gap() -> None:
    for family in RULES.families:
        numbers = [int(one[4:]) for one in RULES.rules if one[:3] == family]
        assert numbers == list(range(1, len(numbers) + 1)), family


def test_every_capability_is_waited_for() -> None:
    waited = {told.capability for told in RULES.rules.values()} - {None}
    assert waited == set(RULES.capabilities)


# --- reading citations ---


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("({0})", {6}),
        ("{0}, {1}", {6, 9}),
        ("{0} to {1}", {6, 7, 8, 9}),
        ("{0} to\n    {1}.", {6, 7, 8, 9}),
        ("-- {0} to\n-- {1}", {6, 7, 8, 9}),
        ("# {0}\n# to {1}", {6, 7, 8, 9}),
        ("{0} and up to {1}", {6, 9}),
        ("{1} to {0}", {6, 9}),
        ("x{0} {1}x", set()),
    ],
)
def test_a_range_cites_every_rule_in_it(text: str, found: set[int]) -> None:
    assert cited_in(text.format(rule(6), rule(9))) == {rule(n) for n in found}


def test_a_range_ends_within_its_family() -> None:
    assert cited_in(f"{rule(6)} to {rule(9, 'EML')}") == {rule(6), rule(9, "EML")}


@pytest.mark.parametrize("mistyped", ["PRV" + "-6", "PRV" + "-006", "PRV" + "-99", "PVR" + "-06"])
def test_a_mistyped_id_is_found(mistyped: str) -> None:
    assert lacking(cited_in(f"see {mistyped}."), RULES) == {mistyped}


@pytest.mark.parametrize("word", ["UTF-16", "AES-256", "SHA-256", "CVE-2021-33515", "SSH-2"])
def test_other_names_with_numbers_are_no_ids(word: str) -> None:
    assert lacking(cited_in(word), RULES) == set()


A, B, C, D, E = (rule(n) for n in range(1, 6))
FILE = f'''"""About {A}."""
TABLE = [1]  # {B}
USED_BY_TABLE = 1
# --- section: {E}

# {C}
@mark(TABLE)
def test_one() -> None:
    pass

def helper():
    """{D}"""
    return TABLE

def test_two(): helper()

def test_three(): assert helper  # {C}

class Nobody:
    """{D} and {E}"""
'''


def test_a_citation_belongs_to_the_tests_around_it_or_that_use_it_else_to_the_file() -> None:
    assert citing_tests(FILE) == {
        A: [],
        B: ["test_one", "test_two", "test_three"],
        C: ["test_one", "test_three"],
        D: ["test_two", "test_three"],
        E: [],
    }


# --- a home of its own ---


def small(home: Path, **files: str) -> Path:
    """A home with one rule of each kind, and these files."""
    contents = {
        "docs/rules.yaml": "capabilities: {ledger: a log}\nfamilies: {PRV: privacy}\nrules:\n"
        f"  {A}: {{citation: the law, must: nothing leaks, status: held}}\n"
        f"  {B}: {{citation: x | y, must: all logged, status: planned, capability: ledger,"
        " note: to come}\n"
        f"  {C}: {{citation: the law, must: none, status: not ours, note: counsel's}}\n",
        "expectations/batch.json": '{"name": "batch", "expectations": [{"type":'
        ' "expect_column_values_to_not_be_null", "kwargs": {"column": "key"},'
        f' "meta": {{"rules": ["{A}"]}}}}]}}',
        "plugins/reengage/one.py": f"# {A}\n",
        "sql/gate/two.sql": f"-- {A}, {B}\n",
        "tests/test_x.py": "".join(f"def test_{n}_is_so(): ...  # {A}\n" for n in "abcde"),
        **files,
    }
    for name, content in contents.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="utf-8")
    return home


def test_the_page_leads_from_rule_to_expectation_code_and_test(tmp_path: Path) -> None:
    page = compliance_markdown(small(tmp_path))
    assert "**3 rules: 1 held, 1 planned, 1 not ours.** 1 expectations" in page
    assert (
        f"| **{A}**<br>the law | nothing leaks"
        " | [batch](../expectations/batch.json): `key` not null"
        " | [one.py](../plugins/reengage/one.py)<br>[gate/two.sql](../sql/gate/two.sql)"
        " | [test_x.py](../tests/test_x.py): a is so; b is so; c is so; and 2 more |\n"
    ) in page
    assert (
        f"| **{B}**<br>x \\| y | all logged | planned: ledger | to come"
        " | [gate/two.sql](../sql/gate/two.sql) |\n"
    ) in page
    assert f"| **{C}**<br>the law | none | not ours | counsel's |  |\n" in page
    assert page.endswith("\n- **ledger**: a log\n")


def test_the_page_does_not_change_when_lines_move(tmp_path: Path) -> None:
    home = small(tmp_path)
    before = compliance_markdown(home)
    for path in [*home.rglob("*.py"), *home.rglob("*.sql")]:
        path.write_text("\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert compliance_markdown(home) == before


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("{citation: law, must: it holds, status: planned, capability: ledger}", "needs a `note`"),
        ("{citation: law, must: it holds, status: not ours}", "needs a `note`"),
        (
            "{citation: law, must: it holds, status: planned, note: why}",
            "`capability` is for planned",
        ),
        (
            "{citation: law, must: it holds, status: held, capability: ledger}",
            "`capability` is for pl",
        ),
        (
            "{citation: law, must: it holds, status: done}",
            "status: input should be 'held', 'planned'",
        ),
        (
            "{citation: law, must: it holds, status: planned, capability: moon, note: x y}",
            "no capability",
        ),
        (f"{{citation: law, must: {'word ' * 16}, status: held}}", "more than 15 words"),
        ("{citation: law, status: held}", "key 'must' is missing"),
    ],
)
def test_a_rule_that_is_not_fully_told_is_refused(rules: str, told: str, tmp_path: Path) -> None:
    head = "capabilities: {ledger: a log}\nfamilies: {PRV: privacy}\nrules:\n"
    small(tmp_path, **{"docs/rules.yaml": f"{head}  {A}: {rules}\n"})
    with pytest.raises(FileError, match=re.escape(told)) as refused:
        load_rules(tmp_path)
    assert str(refused.value).startswith("docs/rules.yaml:")


@pytest.mark.parametrize("key", ["PRV" + "-6", "prv-06", "XYZ" + "-01"])
def test_a_rule_of_no_family_is_refused(key: str, tmp_path: Path) -> None:
    head = "capabilities: {}\nfamilies: {PRV: privacy}\nrules:\n"
    told = "{citation: law, must: it holds, status: held}"
    small(tmp_path, **{"docs/rules.yaml": f"{head}  {key}: {told}\n"})
    with pytest.raises(FileError, match=re.escape(key)):
        load_rules(tmp_path)


@pytest.mark.parametrize("suite", ["", "[]", '{"expectations": [{"type": "x", "kwargs": {}}]}'])
def test_a_suite_that_names_no_rules_is_told_by_file(suite: str, tmp_path: Path) -> None:
    small(tmp_path, **{"expectations/batch.json": suite})
    with pytest.raises(ConfigurationError, match=r"expectations/batch\.json"):
        compliance_markdown(tmp_path)
