"""Jurisdictions: what counsel decided about sensitive categories, state by state (PRV-33).

State law may be stricter than HIPAA for HIV, mental health, reproductive care and more (45 CFR
160.203(b)). What it asks for is not for this product to judge: jurisdictions.yaml holds what was
decided, each rule with its citation, who reviewed it and until when. A missing or outdated one is a
no. Asked only for patients in a sensitive category: an empty table denies nobody else.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reengage.practice import State
from reengage.yamlfile import load_yaml_model

Category = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
Decision = Literal["allow", "deny"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """One reviewed decision. An allowed letter still names nothing of the category."""

    state: State = Field(description="state of residence, two capitals")
    category: Category = Field(description="category as the contract's view `programme` names it")
    decision: Decision = Field(description="whether such a patient may be written to at all")
    citation: str = Field(min_length=3, description="the law that was read")
    reviewer: str = Field(min_length=2, description="who decided")
    reviewed_on: date = Field(description="when")
    review_due: date = Field(description="last day on which the decision holds")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.review_due < self.reviewed_on:
            raise ValueError("review_due lies before reviewed_on; mend one of them")
        return self

    def holds(self, day: date) -> bool:
        """Whether it was decided by that day, and is not outdated."""
        return self.reviewed_on <= day <= self.review_due


class Jurisdictions(_Strict):
    """The table of jurisdictions.yaml."""

    rules: tuple[Rule, ...] = Field(description="one per state and category")

    @model_validator(mode="after")
    def _once(self) -> Self:
        seen: set[tuple[str, str]] = set()
        for rule in self.rules:
            if (rule.state, rule.category) in seen:
                raise ValueError(f"two rules for {rule.state} and {rule.category}; keep one")
            seen.add((rule.state, rule.category))
        return self

    def categories(self, decision: Decision, day: date) -> list[str]:
        """`NE/hiv` for every rule in force that says so."""
        return [
            f"{rule.state}/{rule.category}"
            for rule in self.rules
            if rule.decision == decision and rule.holds(day)
        ]


@lru_cache(maxsize=4)
def load_jurisdictions(path: Path) -> Jurisdictions:
    """The table. Raises ConfigurationError naming file, line and fix."""
    return load_yaml_model(path, Jurisdictions)
