"""Delivery: when and how fast letters may leave, how often one is tried, when a run pauses itself.

Values of the campaign's file (`send_window`, `retry`, `breaker`, `complaints`) and of the vendor's
entry (`rate`). What is counted against them lies in the store (pipeline.pacing, pipeline.retry,
pipeline.breaker, pipeline.complaints).
"""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

Whole = Annotated[int, Field(strict=True)]
Share = Annotated[float, Field(gt=0, le=1)]
_MINUTE = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
# JSON Schema's own format "time" has seconds and an offset: editors would refuse "08:00".
Minute = Annotated[time, WithJsonSchema({"type": "string", "pattern": _MINUTE})]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SendWindow(_Strict):
    """Hours of the day in which letters may leave, by the clock where the patient lives."""

    opens: Minute = Field(description='first minute, quoted: "08:00"')
    closes: Minute = Field(description='first minute after it, quoted: "20:00"')

    @field_validator("opens", "closes", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        # Nothing finer, and no offset: it is compared with the patient's wall clock.
        if not isinstance(value, str) or not re.fullmatch(_MINUTE, value):
            raise ValueError('expected a quoted time such as "08:00"')
        return value

    @model_validator(mode="after")
    def _in_order(self) -> SendWindow:
        if self.closes <= self.opens:
            raise ValueError("the send window must close after it opens, on the same day")
        return self


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


class Complaints(_Strict):
    """When a campaign is stopped: of its letters, too many were called spam."""

    share: Share = Field(
        default=0.003, description="share of its letters that are called spam at which it stops"
    )
    at_least: Whole = Field(
        default=3, ge=1, le=1000, description="complaints before which it never stops"
    )
    within_days: Whole = Field(
        default=30, ge=1, le=365, description="letters of how many days are looked at"
    )
