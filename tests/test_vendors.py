"""Vendors: nothing leaves without an agreement in force that day, to no host but a listed one.

Shows SEC-20 (an agreement in force) and SEC-21 (with every clause of 164.504(e)(2)).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError
from reengage.errors import ConfigurationError, VendorError
from reengage.settings import HOME
from reengage.vendors import (
    CLAUSES,
    Baa,
    Vendor,
    load_vendors,
    require_baa,
    require_host,
    require_vendor,
)

SAMPLE = (HOME / "vendors.yaml").read_text(encoding="utf-8")
SIGNED, EXPIRES = date(2025, 1, 1), date(2025, 12, 31)


def baa(**changes: object) -> Baa:
    usual = {"id": "BAA-7", "signed": SIGNED, "expires": EXPIRES, "clauses": CLAUSES}
    return Baa.model_validate(usual | changes)


def vendor(**changes: object) -> Vendor:
    usual = {
        "name": "acme",
        "hosts": ("smtp.acme.example.org", "192.0.2.7", "2001:db8::7"),
        "baa": baa(),
        "contact": "someone@acme.example.org",
    }
    return Vendor.model_validate(usual | changes)


def load(tmp_path: Path, content: str) -> dict[str, Vendor]:
    path = tmp_path / "vendors.yaml"
    path.write_text(content, encoding="utf-8")
    return load_vendors(path)


def spoiled(old: str, new: str) -> str:
    assert old in SAMPLE
    return SAMPLE.replace(old, new, 1)


# --- the agreement, day by day (SEC-20) ---


@pytest.mark.parametrize("day", [SIGNED, date(2025, 6, 2), EXPIRES])
def test_an_agreement_is_in_force_from_the_day_it_is_signed_to_its_last_day(day: date) -> None:
    assert require_baa(vendor(), day) == baa()


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (date(2024, 12, 31), "agreement BAA-7 with 'acme' is in force from 2025-01-01 only"),
        (date(2026, 1, 1), "agreement BAA-7 with 'acme' expired on 2025-12-31; renew it and enter"),
    ],
)
def test_a_day_before_and_a_day_after_it_is_not(day: date, told: str) -> None:
    with pytest.raises(VendorError, match=told):
        require_baa(vendor(), day)


def test_an_agreement_of_a_single_day_is_in_force_that_day() -> None:
    one = vendor(baa=baa(expires=SIGNED))
    assert require_baa(one, SIGNED)
    with pytest.raises(VendorError, match="expired"):
        require_baa(one, date(2025, 1, 2))


def test_a_vendor_without_an_agreement_is_refused_on_any_day() -> None:  # PRV-14, SEC-20
    with pytest.raises(VendorError, match="'acme' has no business associate agreement"):
        require_baa(vendor(baa=None), date(2025, 6, 2))


def test_the_clauses_are_those_of_the_regulation() -> None:  # SEC-21
    assert len(CLAUSES) == 10


@pytest.mark.parametrize("clause", CLAUSES)
def test_an_agreement_that_lacks_a_clause_is_refused_and_the_clause_named(clause: str) -> None:
    others = [one for one in CLAUSES if one != clause]
    with pytest.raises(VendorError, match=f"lacks the clauses {clause};"):
        require_baa(vendor(baa=baa(clauses=others)), date(2025, 6, 2))


# --- the host ---


@pytest.mark.parametrize(
    "host",
    ["smtp.acme.example.org", "SMTP.Acme.Example.ORG", "smtp.acme.example.org.", "192.0.2.7",
     "2001:db8::7", "2001:DB8::7"],
)  # fmt: skip
def test_a_listed_host_is_taken_whatever_its_case_or_trailing_dot(host: str) -> None:
    require_host(vendor(), host)


@pytest.mark.parametrize(
    "host",
    ["", ".", "acme.example.org", "mx.smtp.acme.example.org", "smtp.acme.example.org.evil.example",
     "smtp.acme.example.org..", "smtp-acme.example.org", "smtp.acme.example.org\n", "192.0.2.8",
     "192.0.2.7.evil.example", "192.0.2.07", "0xc0000207", "[192.0.2.7]", "2001:db8::8",
     "ſmtp.acme.example.org", "*.acme.example.org"],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(VendorError, match=r"is not listed for vendor 'acme'.*listed: smtp\.acme"):
        require_host(vendor(), host)


@pytest.mark.parametrize(
    "host",
    ["", "SMTP.example.org", "smtp.example.org.", "smtp.example.org\n", "-a.example.org",
     "a_b.example.org", "*.example.org", "smtp.example.org:587", "https://smtp.example.org",
     "user@smtp.example.org", "a..b", "a" * 64 + ".org", "a." * 127 + "abc", "añil.example.org"],
)  # fmt: skip
def test_what_is_no_plain_host_cannot_be_listed(host: str) -> None:
    with pytest.raises(ValidationError, match="expected plain host names such as smtp"):
        vendor(hosts=(host,))


# --- the file ---


def test_the_sample_registry_names_this_machine_only() -> None:
    (sample,) = load_vendors(HOME / "vendors.yaml").values()
    assert (sample.name, sample.hosts) == ("embedded", ("localhost",))
    assert sample.baa is not None
    assert sample.baa.id.startswith("SAMPLE")
    assert require_baa(sample, date(2026, 6, 1)).clauses == CLAUSES


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("contact:", "contakt:", "vendors.yaml:9: unknown key 'contakt', did you mean 'contact'?"),
        ("    contact: postmaster@localhost\n", "", "key 'contact' is missing: whom to call there"),
        ("2015-01-01", "2015-02-30", "vendors.yaml:12: 2015-02-30 is no date or number; mend it"),
        ("2015-01-01", "20150101", "12: vendors.0.baa.signed: expected a day such as 2026-12-31"),
        ("2099-12-31", "true", "13: vendors.0.baa.expires: expected a day such as 2026-12-31"),
        ("2099-12-31", "2014-12-31", "baa: the agreement expires before it is signed; mend the"),
        ("- termination", "- terminaton", "vendors.0.baa.clauses.9: input should be 'permitted_u"),
        ("[localhost]", "[]", "8: vendors.0.hosts: tuple should have at least 1 item"),
        ("[localhost]", "[Localhost]", "8: vendors.0.hosts: expected plain host names"),
        ("name: embedded", "name: Acme Inc", "7: vendors.0.name: string should match pattern"),
        ("id: SAMPLE-0001", "id: ''", "11: vendors.0.baa.id: string should have at least 1"),
        ("vendors:", "vendor:", "4: unknown key 'vendor', did you mean 'vendors'?"),
    ],
)
def test_a_fault_of_the_registry_is_told_with_line_and_fix(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, spoiled(old, new))
    assert told in str(error.value)
    assert str(error.value).startswith("vendors.yaml:")


def test_two_vendors_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = "  - name: embedded\n    hosts: [other]\n    contact: someone\n"
    with pytest.raises(ConfigurationError, match="two vendors have the same name; rename one"):
        load(tmp_path, SAMPLE + entry)


def test_a_vendor_may_be_entered_before_its_agreement_and_is_not_usable(tmp_path: Path) -> None:
    entry = "  - name: soon\n    hosts: [other]\n    contact: someone\n"
    with pytest.raises(VendorError, match="'soon' has no business associate agreement"):
        require_baa(load(tmp_path, SAMPLE + entry)["soon"], date(2025, 6, 2))


def test_an_unknown_vendor_is_refused() -> None:
    assert require_vendor({"acme": vendor()}, "acme") == vendor()
    with pytest.raises(VendorError, match=r"'Acme' is not in vendors\.yaml; enter it with its agr"):
        require_vendor({"acme": vendor()}, "Acme")


def test_an_agreement_cannot_be_stretched_after_loading() -> None:
    with pytest.raises(ValidationError):
        vendor().baa.expires = date(2099, 1, 1)  # type: ignore[union-attr,misc]
