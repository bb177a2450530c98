"""docs/compliance.md: rule -> expectation -> code -> test, made from docs/rules.yaml and citations.

The rules and what became of them are written by people; where each is held is read from the files,
so that the page cannot claim what nobody cites. What does not fit together (an id that no rule has,
a rule that is called held without code or without test) is the tests' to find.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reengage.cli.citations import Citations, read_citations
from reengage.yamlfile import load_yaml_model

Status = Literal["held", "planned", "not ours"]
_MOST_WORDS = 15
_SHOWN_TESTS = 3
"""Tests of one file that a cell names; of more it tells the number."""

_HEAD = """# Compliance

Made by `make fix` from [rules.yaml](rules.yaml), the suites, and the rule ids that code and tests \
cite; `make lint` fails when it is out of date. The words are ours and no legal advice: what a law \
requires, the practice's counsel says.

"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """One rule, in our own words."""

    citation: str = Field(min_length=3, description="law, guidance or standard")
    must: str = Field(min_length=3, description="what must hold, in at most 15 words")
    status: Status = Field(description="held, planned, or not ours")
    capability: str | None = Field(None, description="for `planned`: what it comes with")
    note: str | None = Field(None, min_length=3, description="why it is not held, or how far")

    @model_validator(mode="after")
    def _is_told(self) -> Self:
        if len(self.must.split()) > _MOST_WORDS:
            raise ValueError(f"`must` has more than {_MOST_WORDS} words; say it shorter")
        if self.status != "held" and not self.note:
            raise ValueError(f"a rule that is {self.status} needs a `note` that says why")
        if (self.status == "planned") is not (self.capability is not None):
            raise ValueError("`capability` is for planned rules, and for each of them")
        return self


Id = Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{2}$")]


class Rules(_Strict):
    """docs/rules.yaml."""

    capabilities: dict[str, str] = Field(description="what is to come")
    families: dict[str, str] = Field(description="first part of an id: what it is about")
    rules: dict[Id, Rule] = Field(description="by id")

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for key, rule in self.rules.items():
            if key[:3] not in self.families:
                raise ValueError(f"rule {key} belongs to none of the families; add {key[:3]!r}")
            if rule.capability and rule.capability not in self.capabilities:
                raise ValueError(
                    f"rule {key} waits for {rule.capability!r}, which is no capability"
                )
        return self


def load_rules(home: Path) -> Rules:
    """The rules of docs/rules.yaml. Raises FileError with every problem found."""
    return load_yaml_model(home / "docs" / "rules.yaml", Rules, shown_as="docs/rules.yaml")


def compliance_markdown(home: Path) -> str:
    """The page, always the same for the same files."""
    rules, cited = load_rules(home), read_citations(home)
    parts = [_HEAD, _summary(rules, cited)]
    for family, title in rules.families.items():
        own = {key: rule for key, rule in sorted(rules.rules.items()) if key[:3] == family}
        parts.append(f"\n## {family}: {title}\n")
        parts.append(_held({k: r for k, r in own.items() if r.status == "held"}, cited))
        parts.append(_others({k: r for k, r in own.items() if r.status != "held"}, cited))
    parts.append("\n## What is planned\n\nWhat is still missing; each row says more.\n\n")
    parts += [f"- **{name}**: {text}\n" for name, text in rules.capabilities.items()]
    return "".join(parts)


def _summary(rules: Rules, cited: Citations) -> str:
    counts = {"held": 0, "planned": 0, "not ours": 0}
    for rule in rules.rules.values():
        counts[rule.status] += 1
    told = ", ".join(f"{number} {status}" for status, number in counts.items())
    return f"**{len(rules.rules)} rules: {told}.** {cited.checks} expectations in the suites.\n"


def _held(rules: dict[str, Rule], cited: Citations) -> str:
    if not rules:
        return ""
    lines = [
        "",
        "| rule, held | what must hold | expectations | code | tests |",
        "|---|---|---|---|---|",
    ]
    for key, rule in rules.items():
        cells = (
            f"**{key}**<br>{_cell(rule.citation)}",
            _cell(rule.must) + (f"<br>*{_cell(rule.note)}*" if rule.note else ""),
            _expectations(cited.expectations.get(key, [])),
            _code(cited.code.get(key, [])),
            _tests(cited.tests.get(key, {})),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _others(rules: dict[str, Rule], cited: Citations) -> str:
    """Without the columns that would be empty; code that already prepares a rule is named."""
    if not rules:
        return ""
    lines = [
        "",
        "| rule, not held | what must hold | status | why | prepared in |",
        "|---|---|---|---|---|",
    ]
    for key, rule in rules.items():
        cells = (
            f"**{key}**<br>{_cell(rule.citation)}",
            _cell(rule.must),
            rule.status + (f": {rule.capability}" if rule.capability else ""),
            _cell(rule.note or ""),
            _code(cited.code.get(key, [])),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _expectations(shown: list[str]) -> str:
    """By suite: columns first, which say more than the types' long names."""
    suites: dict[str, list[str]] = {}
    for one in shown:
        suite, _, rest = one.partition(": ")
        kind, _, column = rest.partition(" on ")
        for start in ("expect_", "column_values_to_", "be_"):
            kind = kind.removeprefix(start)
        kind = kind.replace("_be_", "_").replace("_", " ")
        suites.setdefault(suite, []).append(f"`{column}` {kind}" if column else kind)
    return "<br>".join(
        f"[{suite}](../expectations/{suite}.json): {', '.join(ones)}"
        for suite, ones in suites.items()
    )


def _code(files: list[str]) -> str:
    return "<br>".join(f"[{_short(file)}](../{file})" for file in files)


def _tests(files: dict[str, list[str]]) -> str:
    lines = []
    for file, functions in files.items():
        link = f"[{_short(file)}](../{file})"
        names = [name.removeprefix("test_").replace("_", " ") for name in functions[:_SHOWN_TESTS]]
        if len(functions) > _SHOWN_TESTS:
            names.append(f"and {len(functions) - _SHOWN_TESTS} more")
        lines.append(link + (": " + "; ".join(names) if names else ""))
    return "<br>".join(lines)


def _short(file: str) -> str:
    """Enough to know it by: the last folder, where that is not one that all have in common."""
    path = Path(file)
    folder = path.parent.name
    return path.name if folder in {"", "reengage", "tests", "plugins"} else f"{folder}/{path.name}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
