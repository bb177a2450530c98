"""Bodies: what a request may say and an answer says, strict, as the OpenAPI document has it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MESSAGE_ID = r"^[A-Za-z0-9_-]{22}$"
Slug = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Answer(_Strict):
    """The second factor."""

    birth_date: date = Field(description="YYYY-MM-DD", ge=date(1850, 1, 1), le=date(2200, 1, 1))
    second: str = Field(min_length=1, max_length=64, description="ZIP code, or patient number")


class Opened(_Strict):
    """A session, to be sent back as a bearer token; it lives in the page's memory only."""

    session: str
    minutes: int
    language: Literal["en", "es"]


class Preferences(_Strict):
    """What is absent stays as it is; nothing that was stopped is begun again here."""

    stop_all: bool = False
    stop_campaigns: Annotated[list[Slug], Field(max_length=50)] = []
    stop_purposes: Annotated[
        list[Literal["treatment", "own_service", "education", "marketing"]], Field(max_length=8)
    ] = []
    revoke: Annotated[list[Literal["email", "marketing", "part2"]], Field(max_length=8)] = []
    restrict: bool = False
    language: Literal["en", "es"] | None = None
    address_on_file: bool = False


class Standing(_Strict):
    """How the patient is written to by now; `*` = all."""

    stopped: list[str]
    revoked: list[str]
    restricted: bool
    language: str
    another_address: bool
    confirming: bool
    offers_another_address: bool


class NewAddress(_Strict):
    """An address that is to be confirmed by who reads its mail."""

    address: str = Field(min_length=3, max_length=254)


class Problem(_Strict):
    """Why a request was not done, in a word that is the same for letters that do not exist."""

    problem: str
    seconds: int | None = None
