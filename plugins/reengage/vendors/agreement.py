"""Agreement: what the registry says of a business associate agreement.

The clauses are those that the two regulations list, one name per paragraph (SEC-21: 45 CFR
164.504(e)(2); SEC-22: 164.314(a)(2)(i)). The agreement itself is kept elsewhere: its digest and
place are told, so that anyone can check that it is the one that was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Clause = Literal[
    "permitted_uses",
    "no_other_use",
    "safeguards",
    "report_violations",
    "subcontractor_flow_down",
    "access",
    "amendment",
    "accounting",
    "delegated_duties",
    "books_to_hhs",
    "return_or_destroy",
    "termination",
    "security_rule",
    "security_subcontractors",
    "security_incidents",
]
CLAUSES: tuple[Clause, ...] = get_args(Clause)
PARAGRAPHS: Mapping[Clause, str] = {
    "permitted_uses": "164.504(e)(2)(i)",
    "no_other_use": "164.504(e)(2)(ii)(A)",
    "safeguards": "164.504(e)(2)(ii)(B)",
    "report_violations": "164.504(e)(2)(ii)(C)",
    "subcontractor_flow_down": "164.504(e)(2)(ii)(D)",
    "access": "164.504(e)(2)(ii)(E)",
    "amendment": "164.504(e)(2)(ii)(F)",
    "accounting": "164.504(e)(2)(ii)(G)",
    "delegated_duties": "164.504(e)(2)(ii)(H)",
    "books_to_hhs": "164.504(e)(2)(ii)(I)",
    "return_or_destroy": "164.504(e)(2)(ii)(J)",
    "termination": "164.504(e)(2)(iii)",
    "security_rule": "164.314(a)(2)(i)(A)",
    "security_subcontractors": "164.314(a)(2)(i)(B)",
    "security_incidents": "164.314(a)(2)(i)(C)",
}
"""Where each is asked for."""


def _no_number(value: object) -> object:
    """A number would be taken for seconds since 1970: 20260101 for a day of that year."""
    if isinstance(value, int | float):
        raise ValueError("expected a day such as 2026-12-31")
    return value


Day = Annotated[date, BeforeValidator(_no_number)]


class Strict(BaseModel):
    """A part of the registry: frozen, and with no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(Strict):
    """The signed agreement, as it lies in the practice's files."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the signed document, in hex"
    )
    kept_at: str = Field(min_length=3, description="where the document is kept")


class Subcontractor(Strict):
    """Whom the vendor gives our letters to (164.502(e)(1)(ii): the vendor's to bind)."""

    name: str = Field(min_length=2, description="who it is")
    purpose: str = Field(min_length=3, description="what the vendor needs it for")
    bound_since: Day | None = Field(
        None,
        description="day since which an agreement with the vendor binds it; absent = it has none",
    )


class Baa(Strict):
    """A business associate agreement. `expires` is the last day on which it is in force."""

    id: str = Field(min_length=1, description="the agreement's own number")
    signed: Day = Field(description="day it was signed, the first day in force")
    expires: Day = Field(description="last day in force")
    document: Document = Field(description="the signed agreement")
    clauses: tuple[Clause, ...] = Field(
        description="clauses of 164.504(e)(2) and 164.314(a)(2)(i) that it contains"
    )
    subcontractors: tuple[Subcontractor, ...] = Field(
        description="to whom the vendor gives our letters; [] = to nobody"
    )

    @field_validator("id")
    @classmethod
    def _is_not_our_own(cls, name: str) -> str:
        if name.startswith(OWN_RELAY):  # a disclosure record could not tell the two apart
            raise ValueError(f"an agreement's number does not begin with {OWN_RELAY!r}")
        return name

    @model_validator(mode="after")
    def _in_order(self) -> Baa:
        if self.expires < self.signed:
            raise ValueError("the agreement expires before it is signed; mend the dates")
        return self


OWN_RELAY = "own-relay:"
"""What stands before the name of a relay of the practice's own, in place of an agreement's id."""
