"""The practice: who writes, as every letter shows it in its header, footer and mail headers.

Strict and frozen; a value of this type can stand in a header line as it is: one line, addresses of
a plain form, the From domain aligned with the DKIM domain (EML-30), a postal address with street,
city, state and ZIP (EML-25), an opt-out link over HTTPS (EML-05). Holds nothing of a patient.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reengage.yamlfile import load_yaml_model

_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"
_HTTPS = rf"https://{_DOMAIN}/"
_ATOM = r"[A-Za-z0-9_%+'-]+"
# Narrower than RFC 5322 on purpose: no quoting, no comments, no literal, one dot at a time. What
# passes needs no escaping in a header or an SMTP command.
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?i:{_DOMAIN})", re.ASCII)


time_zones = lru_cache(maxsize=1)(available_timezones)
"""Names of all time zones; the files that tell them are walked once a process."""


def is_address(text: str) -> bool:
    """Whether `text` is an e-mail address of the plain form every relay and mailbox takes."""
    local = text.partition("@")[0]
    return len(local) <= 64 and len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def _shaped(expected: str, accepts: Callable[[str], object]) -> AfterValidator:
    """A validator whose message tells what to write, not which pattern failed."""

    def check(value: str) -> str:
        if not accepts(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def _like(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern, re.ASCII).fullmatch


def _is_line(text: str) -> bool:
    return text.isprintable() and text == text.strip() and 0 < len(text) <= 120


def _words(text: str) -> str:
    """`text` as its words in small letters, one space between two: how it is looked for."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


Line = Annotated[str, _shaped("one line of 1 to 120 printable characters", _is_line)]
Address = Annotated[str, _shaped("a plain address such as office@practice.example.org", is_address)]
Domain = Annotated[
    str, _shaped("a domain in lower case such as practice.example.org", _like(_DOMAIN))
]
State = Annotated[str, _shaped("a state in two capitals such as NE", _like(r"[A-Z]{2}"))]
Zip = Annotated[str, _shaped('a quoted ZIP code such as "68102"', _like(r"\d{5}(-\d{4})?"))]
Phone = Annotated[
    str, _shaped("a telephone number such as 402-555-0100", _like(r"[2-9]\d\d-[2-9]\d\d-\d{4}"))
]
Website = Annotated[
    str, _shaped("a page such as https://practice.example.org/", _like(_HTTPS + r"[\w./-]*"))
]
LinkPrefix = Annotated[
    str,
    _shaped(
        "an https address that ends in a slash, to which a token is appended",
        _like(_HTTPS + r"(?:[\w.-]+/)*"),
    ),
]
PortalPage = Annotated[
    str,
    _shaped("an https address that ends in /m/", _like(_HTTPS + r"(?:[\w.-]+/)*?m/")),
]
ServiceLine = Annotated[
    str,
    _shaped("words of letters and digits such as behavioral health", _words),
    AfterValidator(_words),
]
Selector = Annotated[str, _shaped("a DKIM selector such as reengage", _like(r"[a-z0-9-]{1,63}"))]
TimeZone = Annotated[
    str, _shaped("an IANA time zone such as America/Chicago", lambda name: name in time_zones())
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostalAddress(_Strict):
    """A street address or post office box, as 16 CFR 316.2 asks for."""

    street: Line = Field(description="street and number, or post office box")
    city: Line = Field(description="city")
    state: State = Field(description="two letters")
    zip: Zip = Field(description="ZIP code, quoted")

    @property
    def line(self) -> str:
        """The address on one line."""
        return f"{self.street}, {self.city}, {self.state} {self.zip}"


class Dkim(_Strict):
    """The name under which the DNS holds the practice's DKIM public key."""

    domain: Domain = Field(description="d= of the signature, aligned with the From address")
    selector: Selector = Field(description="s= of the signature")


class Portal(_Strict):
    """Where patients read the letters that no mailbox may hold."""

    url: PortalPage = Field(
        description="page of the portal; a letter's own id and key are appended"
    )
    valid_days: int = Field(
        strict=True, ge=2, le=90, description="days for which a letter can be opened there"
    )
    second_factor: Literal["zip", "patient_number"] = Field(
        default="zip",
        description="what the page asks for besides the birth date: the ZIP code on file, or the"
        " patient's number (`patient_key` of the warehouse) where patients know it",
    )
    vendor: str | None = Field(
        default=None,
        description="vendor of vendors.yaml through which the portal's own messages go; absent ="
        " none go, and patients cannot name another address",
    )
    notify: Address | None = Field(
        default=None, description="mailbox that is told of locked letters; absent = reply_to"
    )


class Returns(_Strict):
    """What is made of letters that come back."""

    bounce_domain: Domain | None = Field(
        default=None, description="domain whose mailbox takes bounces; None = the From address"
    )
    soft_bounces: int = Field(
        default=3, strict=True, ge=2, le=20,
        description="letters that come back for a passing reason before an address is left alone",
    )  # fmt: skip
    within_days: int = Field(
        default=180, strict=True, ge=1, le=730, description="days within which they are counted"
    )
    pause_days: int = Field(
        default=90, strict=True, ge=1, le=730, description="days for which it is left alone then"
    )


class Alerts(_Strict):
    """Who on the staff is told when something needs a person."""

    email: tuple[Address, ...] = Field(default=(), description="addresses of staff")
    vendor: str | None = Field(
        default=None, description="vendor of vendors.yaml through which those messages go"
    )
    late_after_hours: int = Field(
        default=6, strict=True, ge=1, le=72,
        description="hours after which a campaign's run that is not over counts as late",
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_a_way(self) -> Alerts:
        if self.email and self.vendor is None:
            raise ValueError("`email` needs `vendor`, by whose relay the messages go; add it")
        return self


class Practice(_Strict):
    """The practice that writes."""

    name: Line = Field(description="full name of the practice")
    short_name: Line = Field(description="what patients call it, as letters are signed")
    postal_address: PostalAddress = Field(description="where it is")
    phone: Phone = Field(description="telephone, as letters show it")
    website: Website | None = Field(default=None, description="home page, if there is one")
    time_zone: TimeZone = Field(description="IANA time zone of the practice")
    age_of_majority: int = Field(
        default=18,
        ge=18,
        le=21,
        strict=True,
        description="age from which patients act for themselves",
    )
    sensitive_service_lines: tuple[ServiceLine, ...] = Field(
        description="kinds of care that no letter may betray by an appointment's service line or"
        " place, as the warehouse says them"
    )
    from_name: Line = Field(description="name in the From header")
    from_address: Address = Field(description="address in the From header and envelope")
    reply_to: Address = Field(description="where replies go")
    message_id_domain: Domain = Field(description="right side of Message-IDs")
    opt_out_url: LinkPrefix = Field(description="one-click opt-out; a letter's token is appended")
    opt_out_mailto: Address = Field(description="mailbox that takes opt-outs by e-mail")
    dkim: Dkim = Field(description="DKIM name")
    portal: Portal | None = Field(default=None, description="secure portal, if there is one")
    returns: Returns = Field(
        default=Returns(), description="what is made of letters that come back"
    )

    alerts: Alerts = Field(default=Alerts(), description="who is told when a person is needed")
    approvers: tuple[Line, ...] = Field(
        default=(),
        description="Airflow users whose answers count when a run asks for an approval; absent ="
        " everybody whose role may answer",
    )

    @property
    def phone_link(self) -> str:
        """The telephone number as a link that dials it from anywhere (RFC 3966)."""
        return f"tel:+1{self.phone.replace('-', '')}"

    @field_validator("dkim")
    @classmethod
    def _covers_the_from_address(cls, dkim: Dkim, info: ValidationInfo) -> Dkim:
        # Unaligned, DMARC fails and mailboxes distrust every letter (EML-30).
        domain = info.data.get("from_address", "").partition("@")[2].lower()
        if domain and not f".{domain}".endswith(f".{dkim.domain}"):
            raise ValueError(
                f"domain {dkim.domain} does not cover {domain} of from_address; use the same domain"
            )
        return dkim


@lru_cache(maxsize=4)
def load_practice(path: Path) -> Practice:
    """The practice of practice.yaml. Raises ConfigurationError naming file, line and fix."""
    return load_yaml_model(path, Practice)
