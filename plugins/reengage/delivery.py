"""Delivery: how fast letters may leave, how often one is tried, and when a run pauses itself.

Values of the campaign's file (`retry`, `breaker`) and of the vendor's entry (`rate`). What is
counted against them lies in the store (pipeline.pacing, pipeline.retry, pipeline.breaker).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Whole = Annotated[int, Field(strict=True)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Strict):
    """How fast a relay takes letters; what is absent has no limit."""

    per_second: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="letters a second over all workers together"
    )
    burst: Whole | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="letters that may go at once after a pause; absent = one second's",
    )
    per_domain_per_minute: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        default=None, description="letters a minute to mailboxes of one domain"
    )
    letters_per_connection: Whole | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="letters after which a connection is opened anew",
    )
    connections: Whole | None = Field(
        default=None, ge=1, le=1000, description="connections at once over all workers together"
    )

    @model_validator(mode="after")
    def _burst_has_its_rate(self) -> Rate:
        if self.burst is not None and self.per_second is None:
            raise ValueError("a `burst` needs `per_second`, by which it fills again")
        return self

    @property
    def most_at_once(self) -> float:
        """Letters that the bucket holds when it is full: the burst, or one second's, at least 1."""
        if self.burst is not None:
            return float(self.burst)
        return max(1.0, self.per_second or 1.0)


class Retry(_Strict):
    """When a letter that a relay put off is tried again, within its send window.

    RFC 5321 section 4.5.4.1 asks for at least 30 minutes to a destination that failed, and then for
    one try every two or three hours.
    """

    first_minutes: Whole = Field(
        default=30,
        ge=1,
        le=1440,
        description="minutes to the second try; each pause is twice the last",
    )
    most_minutes: Whole = Field(default=180, ge=1, le=1440, description="longest pause, in minutes")

    @model_validator(mode="after")
    def _in_order(self) -> Retry:
        if self.most_minutes < self.first_minutes:
            raise ValueError("`most_minutes` is no less than `first_minutes`")
        return self

    def pause(self, tries: int) -> timedelta:
        """How long a letter that was tried so often (1, 2, ...) is left alone."""
        # 2**11 minutes are longer than a day, the most that may be asked for.
        minutes = self.first_minutes * 2 ** min(max(tries, 1) - 1, 11)
        return timedelta(minutes=min(minutes, self.most_minutes))


class Breaker(_Strict):
    """When a run pauses itself: of its last letters, too many were refused or failed."""

    of: Whole = Field(
        default=20, ge=5, le=1000, description="how many of its last letters are looked at"
    )
    refused: Share = Field(
        default=0.3, description="share of refusals (5xx) at which the run pauses"
    )
    errors: Share = Field(
        default=0.5, description="share of letters put off, lost or unknown at which it pauses"
    )
