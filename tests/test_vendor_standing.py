"""How things stand with a vendor: in force, suspended, ended, running out, or the practice's own.

SEC-20 to SEC-24: each way in which a vendor may not be used stops before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from reengage import relay
from reengage.embedded.certificates import Certificates
from reengage.errors import VendorError
from reengage.vendors import (
    Baa,
    Vendor,
    days_left,
    level_of,
    require_baa,
    require_in_force,
    warning_of,
)
from simulators import certificates as certs
from simulators.smtp import HostileRelay
from simulators.vendors import DAY, EXPIRES, SIGNED, baa, vendor

BEGUN = {"state": "in_force", "since": SIGNED}
SUSPENDED = {"state": "suspended", "since": date(2025, 3, 1), "reason": "letters on a test server"}
RESUMED = {
    "state": "in_force",
    "since": date(2025, 4, 1),
    "reason": "cured, report of 28 March",
    "resumed_by": "Ada Reed, compliance officer",
}
ENDED = {"state": "ended", "since": date(2025, 9, 1), "reason": "moved to another vendor"}
ENFORCED = {"by": "requiretls", "enforced": "the operator says so, letter of 3 January 2025"}
OWN = {
    "declared_by": "Ada Reed, compliance officer",
    "declared_on": SIGNED,
    "domain": "clinic.example.org",
    "reason": "we run the mail server ourselves and it delivers to mailboxes directly",
}


def own_relay(**changes: Any) -> Vendor:
    usual = {"hosts": ({"host": "mail.clinic.example.org", "port": 465},), "baa": None}
    return vendor(**{**usual, "own_relay": OWN, **changes})


# --- status (SEC-23) ---


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (date(2024, 12, 31), "is not in force on 2024-12-31; enter a status"),
        (SIGNED, None),
        (date(2025, 2, 28), None),
        (date(2025, 3, 1), r"is suspended since 2025-03-01 \(letters on a test server\); nothing"),
        (date(2025, 3, 31), "is suspended since 2025-03-01"),
        (date(2025, 4, 1), None),
        (date(2025, 8, 31), None),
        (date(2025, 9, 1), r"ended on 2025-09-01 \(moved to another vendor\); name another vendor"),
        (date(2025, 12, 1), "ended on 2025-09-01"),
    ],
)
def test_the_newest_status_that_has_begun_counts(day: date, told: str | None) -> None:
    """SEC-23."""
    one = vendor(status=(BEGUN, SUSPENDED, RESUMED, ENDED))
    if told is None:
        assert require_in_force(one, day) == "BAA-7"
        return
    with pytest.raises(VendorError, match=told):
        require_in_force(one, day)


def test_a_suspension_outlives_a_renewed_agreement() -> None:
    renewed = vendor(status=(BEGUN, SUSPENDED), baa=baa(signed=DAY, expires=date(2030, 1, 1)))
    with pytest.raises(VendorError, match="is suspended since"):
        require_in_force(renewed, DAY)


BAD_HISTORIES: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "resumed by nobody": (
        (BEGUN, SUSPENDED, {**RESUMED, "resumed_by": None}),
        "`resumed_by` names who resumes after a suspension",
    ),
    "resumed for no reason": (
        (BEGUN, SUSPENDED, {**RESUMED, "reason": None}),
        "resuming needs a `reason`",
    ),
    "suspended for no reason": (
        (BEGUN, {**SUSPENDED, "reason": None}),
        "suspended needs a `reason`",
    ),
    "ended for no reason": ((BEGUN, {**ENDED, "reason": None}), "ended needs a `reason`"),
    "going on after its end": (
        (BEGUN, ENDED, {**RESUMED, "since": date(2025, 10, 1)}),
        "nothing comes after ended",
    ),
    "begun with a suspension": ((SUSPENDED,), "the first status is in_force"),
    "out of order": ((BEGUN, SUSPENDED, {**RESUMED, "since": SIGNED}), "oldest first"),
    "two on a day": ((BEGUN, {**SUSPENDED, "since": SIGNED}), "oldest first, at most one a day"),
    "the same twice": ((BEGUN, {**BEGUN, "since": DAY}), "in_force twice in a row"),
    "someone resumes what never stopped": (
        ({**BEGUN, "resumed_by": "Ada Reed"},),
        "there and only there",
    ),
}


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_a_history_that_cannot_be_is_refused(name: str) -> None:
    """SEC-23: who resumes is named."""
    history, told = BAD_HISTORIES[name]
    with pytest.raises(ValidationError, match=told):
        vendor(status=history)


# --- what else may stand against it ---

AGAINST: dict[str, tuple[dict[str, Any], str]] = {
    "no status": ({"status": ()}, "is not in force on 2025-06-02"),
    "suspended": ({"status": (BEGUN, SUSPENDED)}, "is suspended since 2025-03-01"),
    "ended": ({"status": (BEGUN, {**ENDED, "since": DAY})}, "ended on 2025-06-02"),
    "no agreement": ({"baa": None}, "has no business associate agreement"),
    "agreement not begun": ({"baa": baa(signed=DAY + timedelta(days=1))}, "in force from"),
    "agreement expired": ({"baa": baa(expires=DAY - timedelta(days=1))}, "expired on 2025-06-01"),
    "a clause is lacking": (
        {"baa": baa(clauses=["permitted_uses"])},
        "lacks the clauses no_other_use, safeguards,",
    ),
    "tracking not declared": ({"tracking": None}, "is not declared to leave letters untracked"),
    "openings are counted": ({"tracking": {"opens": True, "clicks": False}}, "opens and clicks"),
    "links are rewritten": ({"tracking": {"opens": False, "clicks": True}}, "opens and clicks"),
    "a subcontractor that nothing binds": (
        {"baa": baa(subcontractors=[{"name": "Cloudy", "purpose": "servers"}])},
        "gives letters to Cloudy without an agreement that binds them on 2025-06-02",
    ),
    "a subcontractor that is bound from tomorrow": (
        {
            "baa": baa(
                subcontractors=[
                    {"name": "Sound", "purpose": "servers", "bound_since": DAY},
                    {"name": "Late", "purpose": "spam", "bound_since": DAY + timedelta(days=1)},
                ]
            )
        },
        "gives letters to Late without",
    ),
    "own relay that is declared from tomorrow": (
        {"baa": None, "own_relay": {**OWN, "declared_on": DAY + timedelta(days=1)}},
        "is declared as the practice's own from 2025-06-03 only",
    ),
    "another port": ({"hosts": ({"host": "127.0.0.1", "port": 1}, {"host": "::1"})}, "not listed"),
    "another host": ({"hosts": ({"host": "::1"},)}, r"host 'localhost' with port \d+ is not list"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certs.good(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(good: Certificates) -> Iterator[HostileRelay]:
    with HostileRelay(good) as running:
        yield running


def opened(one: Vendor, server: HostileRelay, on: date = DAY) -> None:
    url = relay.RelayUrl.parse(server.url)
    relay.open_relay(one, url, on=on, trust=server.certificates.ca, timeout=10.0).close()


@pytest.mark.parametrize("name", AGAINST)
def test_what_stands_against_a_vendor_stops_before_anything_is_opened(
    name: str, server: HostileRelay
) -> None:
    """SEC-20 to SEC-24, TRK-04."""
    changes, told = AGAINST[name]
    one = vendor(**{"hosts": ({"host": "localhost"},), **changes})
    with pytest.raises(VendorError, match=told):
        opened(one, server)
    assert server.connections == 0


def test_a_vendor_against_which_nothing_stands_is_reached(server: HostileRelay) -> None:
    bound = [{"name": "Sound", "purpose": "servers", "bound_since": DAY}]
    opened(vendor(hosts=({"host": "localhost"},), baa=baa(subcontractors=bound)), server)
    opened(vendor(hosts=({"host": "localhost", "port": server.port},)), server)
    opened(own_relay(hosts=({"host": "localhost"},)), server)
    assert server.connections == 3


# --- the practice's own relay (SEC-24) ---


def test_an_own_relay_needs_no_agreement_and_is_named_as_such() -> None:
    """SEC-24."""
    assert require_in_force(own_relay(), DAY) == own_relay().baa_id == "own-relay:acme"
    assert own_relay().guarantee is None
    assert own_relay(tls_to_recipients=ENFORCED).guarantee == "requiretls"


def test_an_own_relay_may_be_suspended_too() -> None:
    with pytest.raises(VendorError, match="is suspended since"):
        require_in_force(own_relay(status=(BEGUN, SUSPENDED)), DAY)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hosts": ({"host": "smtp.esp.example", "port": 587},)}, "is not in clinic.example.org"),
        ({"hosts": ({"host": "evilclinic.example.org", "port": 587},)}, "so somebody else runs it"),
        ({"hosts": ({"host": "192.0.2.7", "port": 587},)}, "enter their agreement"),
        ({"baa": baa()}, "has an agreement and is the practice's own relay"),
        (
            {"tls_to_recipients": {"by": "contract", "clause": "we promise"}},
            "an own relay has no contract to guarantee TLS",
        ),
        (
            {"own_relay": {**OWN, "reason": "the provider is a mere Conduit of our letters"}},
            "a mail relay is no conduit",
        ),
        ({"own_relay": {**OWN, "reason": "because"}}, "at least 20 characters"),
        ({"own_relay": {**OWN, "domain": "org"}}, "expected a domain such as clinic"),
        ({"own_relay": {**OWN, "declared_by": ""}}, "at least 3 characters"),
        ({"conduit": True}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_not_the_practices_own_cannot_be_declared_so(
    changes: dict[str, Any], told: str
) -> None:
    """SEC-24."""
    with pytest.raises(ValidationError, match=told):
        own_relay(**changes)


# --- TLS to the mailbox (EML-17) ---


def test_the_guarantee_is_what_the_entry_says_and_absent_is_none() -> None:
    """EML-17."""
    assert vendor().guarantee is None
    by_contract = {"by": "contract", "clause": "4.2: TLS to every recipient or no delivery"}
    assert vendor(tls_to_recipients=by_contract).guarantee == "contract"
    assert vendor(tls_to_recipients=ENFORCED).guarantee == "requiretls"


@pytest.mark.parametrize(
    "said",
    [
        {"by": "contract"},
        {"by": "requiretls"},
        {**ENFORCED, "clause": "4.2"},
        {**ENFORCED, "by": "contract", "clause": "4.2"},
        {"by": "requiretls", "clause": "4.2"},
        {"by": "requiretls", "enforced": "yes"},
        {"by": "opportunistic"},
    ],
)
def test_a_guarantee_names_what_it_rests_on(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        vendor(tls_to_recipients=said)


# --- the end of an agreement ---


@pytest.mark.parametrize(
    ("days", "level"),
    [
        (300, None), (61, None), (60, "notice"), (31, "notice"), (30, "warning"), (8, "warning"),
        (7, "urgent"), (1, "urgent"), (0, "urgent"),
    ],
)  # fmt: skip
def test_the_nearer_the_end_the_louder_it_is_said(days: int, level: str | None) -> None:
    day = EXPIRES - timedelta(days=days)
    one = vendor()
    told = warning_of(one, day)
    assert days_left(the_baa(one), day) == days
    assert level_of(days) == level
    assert (told.split(":")[0] if told else None) == level
    assert require_baa(one, day)


def test_the_last_days_are_told_in_words() -> None:
    def last(days: int) -> str:
        return str(warning_of(vendor(), EXPIRES - timedelta(days=days)))

    told = "urgent: agreement BAA-7 with 'acme' ends"
    end = "; renew it, or nothing is sent from the day after"
    assert last(2) == f"{told} in 2 days, on 2025-12-31{end}"
    assert last(1) == f"{told} tomorrow{end}"
    assert last(0) == f"{told} today{end}"


def test_the_day_after_it_stops_and_is_no_warning_any_more() -> None:
    """SEC-20."""
    after = EXPIRES + timedelta(days=1)
    assert warning_of(vendor(), after) is None
    with pytest.raises(VendorError, match="expired on 2025-12-31"):
        require_in_force(vendor(), after)


def test_what_has_no_agreement_has_no_end_to_warn_of() -> None:
    assert warning_of(own_relay(), EXPIRES) is None
    assert warning_of(vendor(baa=None), EXPIRES) is None


def the_baa(one: Vendor) -> Baa:
    assert one.baa is not None
    return one.baa
