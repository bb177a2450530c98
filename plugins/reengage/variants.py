"""Variants: two ways to say what a campaign says, compared by who comes back (ADR 0033)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Longer than a language's code, whose folder may stand beside.
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{2,40}$")]
_Weight = Annotated[int, Field(strict=True, gt=0, le=1000)]


class Variants(BaseModel):
    """Each variant is a folder of the template's own: templates/<template>/<variant>/<language>."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: _Name = Field(
        description="name of the comparison; under another one all is drawn anew"
    )
    weights: dict[_Name, _Weight] = Field(
        min_length=2, max_length=2, description="both variants, and how often each is drawn"
    )
    horizon_days: Literal[30, 60, 90, 180] = Field(
        30, description="days within which who came back is compared"
    )
