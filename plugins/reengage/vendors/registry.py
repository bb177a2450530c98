"""Registry: vendors.yaml as values.

What is missing from an entry forbids its use and not the loading of the file: a vendor may be
entered before its agreement is signed. No entry can call a relay a conduit (SEC-24): it has an
agreement, or it is the practice's own and says so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictBool, field_validator, model_validator

from reengage.delivery import Rate
from reengage.errors import VendorError
from reengage.vendors.agreement import OWN_RELAY, Baa, Day, Strict
from reengage.yamlfile import load_yaml_model

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts on the machine itself."""
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_CONDUIT = re.compile(r"\bconduit", re.IGNORECASE)

State = Literal["in_force", "suspended", "ended"]


class Host(Strict):
    """Where a vendor may be reached: a name or address, and a port."""

    host: str = Field(description="host name or address, in lower case")
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        None, description="port; may be absent for this machine only"
    )

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if not _HOST.fullmatch(host) and not _is_address(host):
            raise ValueError("expected a plain host name such as smtp.example.org, lower case")
        return host

    @model_validator(mode="after")
    def _has_port(self) -> Host:
        if self.port is None and self.host not in LOOPBACK:
            raise ValueError("name the port, such as 587; only this machine's may be left open")
        return self

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port is None else f"{shown}:{self.port}"


class TlsGuarantee(Strict):
    """Who guarantees TLS from the vendor's relay to the patient's mailbox (EML-17, EML-19).

    That a relay offers REQUIRETLS is not enough: Postfix offers it unless told otherwise, and lets
    its operator relax what it then does (`smtp_requiretls_policy`).
    """

    by: Literal["contract", "requiretls"] = Field(
        description="contract = the vendor undertakes it; requiretls = the relay must offer it"
    )
    clause: str | None = Field(
        None, min_length=3, description="where the agreement says so (by: contract)"
    )

    enforced: str | None = Field(
        None,
        min_length=10,
        description="how it is known that the relay enforces it (by: requiretls)",
    )

    @model_validator(mode="after")
    def _names_its_ground(self) -> TlsGuarantee:
        if (self.by == "contract") != (self.clause is not None):
            raise ValueError("name the `clause` with `by: contract`, and with nothing else")
        if (self.by == "requiretls") != (self.enforced is not None):
            raise ValueError(
                "say how it is `enforced` with `by: requiretls`, and with nothing else"
            )
        return self


class Tracking(Strict):
    """What the vendor adds to letters in order to watch who reads them (TRK-04)."""

    opens: StrictBool = Field(description="whether it counts openings; must be false")
    clicks: StrictBool = Field(description="whether it rewrites links; must be false")


class Status(Strict):
    """How things stand with a vendor from a day on."""

    state: State = Field(description="in_force, suspended or ended")
    since: Day = Field(description="first day of it")
    reason: str | None = Field(None, min_length=3, description="why (suspended, ended, resumed)")
    resumed_by: str | None = Field(
        None, min_length=3, description="who answers for going on after a suspension"
    )


class OwnRelay(Strict):
    """A relay that the practice runs itself, so that no business associate is involved."""

    declared_by: str = Field(min_length=3, description="who answers for this declaration")
    declared_on: Day = Field(description="day of the declaration, the first on which it counts")
    domain: str = Field(description="the practice's own domain, which the hosts belong to")
    reason: str = Field(min_length=20, description="why no business associate is involved")

    @field_validator("reason")
    @classmethod
    def _is_no_conduit(cls, reason: str) -> str:
        if _CONDUIT.search(reason):
            raise ValueError(
                "a mail relay is no conduit (45 CFR 160.103); say who runs it and where it delivers"
            )
        return reason

    @field_validator("domain")
    @classmethod
    def _is_domain(cls, domain: str) -> str:
        if not _HOST.fullmatch(domain) or "." not in domain or _is_address(domain):
            raise ValueError("expected a domain such as clinic.example.org, lower case")
        return domain

    def owns(self, host: str) -> bool:
        """Whether the host is of the practice's own: in its domain, or on this machine."""
        return host in LOOPBACK or host == self.domain or host.endswith(f".{self.domain}")


class Vendor(Strict):
    """A business associate that delivers letters, or the practice's own relay."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")] = Field(
        description="its name in campaign files"
    )
    hosts: tuple[Host, ...] = Field(min_length=1, description="where it may be reached")
    contact: str = Field(min_length=3, description="whom to call there")
    status: tuple[Status, ...] = Field(
        (), description="how things stand, oldest first; without one nothing is sent"
    )
    tracking: Tracking | None = Field(
        None, description="declared to be off; without it nothing is sent"
    )
    tls_to_recipients: TlsGuarantee | None = Field(
        None, description="who guarantees TLS to the mailbox; absent = nobody"
    )
    baa: Baa | None = Field(None, description="the agreement; without one nothing is sent")
    own_relay: OwnRelay | None = Field(
        None, description="in place of an agreement: the practice runs this relay itself"
    )

    rate: Rate = Field(Rate(), description="how fast it takes letters; absent = without limit")

    @property
    def guarantee(self) -> Literal["contract", "requiretls"] | None:
        """What TLS to the mailbox rests on; None = on nothing."""
        return self.tls_to_recipients.by if self.tls_to_recipients else None

    @property
    def baa_id(self) -> str | None:
        """What a disclosure names as its ground: an agreement's id or `own-relay:<name>`."""
        if self.own_relay is not None:
            return OWN_RELAY + self.name
        return self.baa.id if self.baa else None

    def status_on(self, day: date) -> Status | None:
        """How things stand that day; None = nothing has begun."""
        return next((one for one in reversed(self.status) if one.since <= day), None)

    @field_validator("status")
    @classmethod
    def _is_a_history(cls, status: tuple[Status, ...]) -> tuple[Status, ...]:
        before: Status | None = None
        for one in status:
            _require_step(before, one)
            before = one
        return status

    @model_validator(mode="after")
    def _has_one_ground(self) -> Vendor:
        own = self.own_relay
        if own is None:
            return self
        if self.baa is not None:
            raise ValueError("has an agreement and is the practice's own relay; keep what is true")
        if self.guarantee == "contract":
            raise ValueError("an own relay has no contract to guarantee TLS; use `by: requiretls`")
        if elsewhere := [str(one) for one in self.hosts if not own.owns(one.host)]:
            raise ValueError(
                f"{', '.join(elsewhere)} is not in {own.domain}, so somebody else runs it;"
                " enter their agreement"
            )
        return self


def _require_step(before: Status | None, after: Status) -> None:
    """The one state may follow the other. Raises ValueError saying what is missing (SEC-23)."""
    if before is None:
        if after.state != "in_force":
            raise ValueError("the first status is in_force")
    elif before.state == "ended":
        raise ValueError("nothing comes after ended; enter a new agreement under a new name")
    elif after.since <= before.since:
        raise ValueError("oldest first, at most one a day")
    elif after.state == before.state:
        raise ValueError(f"{after.state} twice in a row; keep the first")
    resumed = before is not None and after.state == "in_force"
    if (resumed or after.state != "in_force") and after.reason is None:
        raise ValueError(f"{'resuming' if resumed else after.state} needs a `reason`")
    if resumed != (after.resumed_by is not None):
        raise ValueError("`resumed_by` names who resumes after a suspension, there and only there")


class _Registry(Strict):
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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
