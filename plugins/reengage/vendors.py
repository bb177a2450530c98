"""Vendors: who may see patients' data on our behalf, and under which agreement.

No vendor without a business associate agreement in force on the day (SEC-20), with every clause
that 45 CFR 164.504(e)(2) asks for (SEC-21), and no host that its entry does not list. There is no
other way out for patients' data: nothing is handed to anybody who would pay for it (PRV-14).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from reengage.errors import VendorError
from reengage.yamlfile import load_yaml_model

Clause = Literal[
    "permitted_uses",  # (i) uses and disclosures that are permitted and required
    "no_other_use",  # (ii)(A)
    "safeguards",  # (ii)(B), Subpart C
    "report_violations",  # (ii)(C), with breaches by 164.410
    "subcontractor_flow_down",  # (ii)(D)
    "access_amend_accounting",  # (ii)(E)-(G)
    "delegated_duties",  # (ii)(H)
    "books_to_hhs",  # (ii)(I)
    "return_or_destroy",  # (ii)(J)
    "termination",  # (iii)
]
CLAUSES: tuple[str, ...] = get_args(Clause)
_HOST = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)


def _no_number(value: object) -> object:
    """A number would be taken for seconds since 1970: 20260101 for a day of that year."""
    if isinstance(value, int | float):
        raise ValueError("expected a day such as 2026-12-31")
    return value


Day = Annotated[date, BeforeValidator(_no_number)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Baa(_Strict):
    """A business associate agreement. `expires` is the last day on which it is in force."""

    id: str = Field(min_length=1, description="the agreement's own number")
    signed: Day = Field(description="day it was signed, the first day in force")
    expires: Day = Field(description="last day in force")
    clauses: tuple[Clause, ...] = Field(description="clauses of 164.504(e)(2) that it contains")

    @model_validator(mode="after")
    def _in_order(self) -> Baa:
        if self.expires < self.signed:
            raise ValueError("the agreement expires before it is signed; mend the dates")
        return self


class Vendor(_Strict):
    """A business associate that delivers letters."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")] = Field(
        description="its name in campaign files"
    )
    hosts: tuple[str, ...] = Field(min_length=1, description="host names it may be reached at")
    baa: Baa | None = Field(None, description="the agreement; without one nothing is sent")
    contact: str = Field(min_length=3, description="whom to call there")

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host) and not _is_address(host):
                raise ValueError("expected plain host names such as smtp.example.org, lower case")
        return hosts


class _Registry(_Strict):
    vendors: tuple[Vendor, ...] = Field(description="the vendors")

    @field_validator("vendors")
    @classmethod
    def _are_distinct(cls, vendors: tuple[Vendor, ...]) -> tuple[Vendor, ...]:
        names = [vendor.name for vendor in vendors]
        if len(set(names)) < len(names):
            raise ValueError("two vendors have the same name; rename one")
        return vendors


def load_vendors(path: Path) -> dict[str, Vendor]:
    """The registry by name. Raises ConfigurationError naming file, line and fix."""
    return {vendor.name: vendor for vendor in load_yaml_model(path, _Registry).vendors}


def require_vendor(vendors: Mapping[str, Vendor], name: str) -> Vendor:
    """The vendor. Raises VendorError when the registry does not have it."""
    if name not in vendors:
        raise VendorError(f"vendor {name!r} is not in vendors.yaml; enter it with its agreement")
    return vendors[name]


def require_baa(vendor: Vendor, on: date) -> Baa:
    """The agreement in force on that day. Raises VendorError saying what is wrong with it."""
    baa = vendor.baa
    if baa is None:
        raise VendorError(
            f"vendor {vendor.name!r} has no business associate agreement in vendors.yaml;"
            " nothing is sent through it until one is signed and entered"
        )
    if on < baa.signed:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} is in force from {baa.signed} only"
        )
    if on > baa.expires:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} expired on {baa.expires};"
            " renew it and enter the new dates in vendors.yaml"
        )
    missing = [clause for clause in CLAUSES if clause not in baa.clauses]
    if missing:
        raise VendorError(
            f"agreement {baa.id} with {vendor.name!r} lacks the clauses {', '.join(missing)};"
            " have them added and list them in vendors.yaml"
        )
    return baa


def require_host(vendor: Vendor, host: str) -> None:
    """Refuse a host that the vendor's entry does not list, by its whole name. Raises VendorError.

    Case and the root's trailing dot make no other host of it; nothing else is forgiven.
    """
    if host.lower().removesuffix(".") not in vendor.hosts:
        raise VendorError(
            f"host {host!r} is not listed for vendor {vendor.name!r} in vendors.yaml;"
            f" listed: {', '.join(vendor.hosts)}"
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
