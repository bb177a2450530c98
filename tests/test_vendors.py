"""Vendors: nothing leaves without an agreement in force that day, to no host but a listed one.

Shows SEC-20 (an agreement in force), SEC-21 (with every clause of 164.504(e)(2)) and SEC-22 (with
those of 164.314(a)(2)(i)). How things stand with a vendor is in test_vendor_standing.py.
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError
from reengage.errors import ConfigurationError, VendorError
from reengage.settings import HOME
from reengage.vendors import (
    CLAUSES,
    PARAGRAPHS,
    Host,
    Vendor,
    load_vendors,
    require_baa,
    require_host,
    require_in_force,
    require_vendor,
)
from simulators.vendors import EXPIRES, SIGNED, baa, vendor

SAMPLE = (HOME / "vendors.yaml").read_text(encoding="utf-8")


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


def test_the_clauses_are_those_of_the_regulations_paragraph_by_paragraph() -> None:
    """SEC-21: 164.504(e)(2)(i), (ii)(A) to (J), (iii). SEC-22: 164.314(a)(2)(i)(A) to (C)."""
    privacy = [f"164.504(e)(2)(ii)({letter})" for letter in "ABCDEFGHIJ"]
    security = [f"164.314(a)(2)(i)({letter})" for letter in "ABC"]
    assert [PARAGRAPHS[clause] for clause in CLAUSES] == [
        "164.504(e)(2)(i)", *privacy, "164.504(e)(2)(iii)", *security
    ]  # fmt: skip


def test_the_page_names_every_clause_with_its_paragraph() -> None:
    page = (HOME / "docs" / "vendors.md").read_text(encoding="utf-8")
    rows = [f"| `{clause}` | {PARAGRAPHS[clause]} |" for clause in CLAUSES]
    assert [row for row in rows if row not in page] == []


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
    require_host(vendor(), host, 587)


def test_a_port_counts_for_the_host_that_it_is_listed_with() -> None:
    hosts = ({"host": "a.example.org", "port": 587}, {"host": "b.example.org", "port": 465})
    two = vendor(hosts=hosts)
    require_host(two, "a.example.org", 587)
    require_host(two, "b.example.org", 465)
    told = r"host 'a.example.org' with port 465 is not listed for vendor 'acme'.*a.example.org:587"
    with pytest.raises(VendorError, match=told):
        require_host(two, "a.example.org", 465)
    with pytest.raises(VendorError, match=r"listed: a\.example\.org:587, b\.example\.org:465$"):
        require_host(two, "b.example.org", 25)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_port_of_this_machine_may_be_left_open(host: str) -> None:
    one = vendor(hosts=({"host": host},))
    require_host(one, host, 40_123)
    assert str(one.hosts[0]) in {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize("host", ["smtp.acme.example.org", "127.0.0.2", "localhost.example.org"])
def test_the_port_of_any_other_may_not(host: str) -> None:
    with pytest.raises(ValidationError, match="name the port, such as 587"):
        Host(host=host)


@pytest.mark.parametrize("port", [0, -1, 65_536, "587", 587.0, True])
def test_what_is_no_port_cannot_be_listed(port: object) -> None:
    with pytest.raises(ValidationError):
        Host.model_validate({"host": "smtp.acme.example.org", "port": port})


@pytest.mark.parametrize(
    "host",
    ["", ".", "acme.example.org", "mx.smtp.acme.example.org", "smtp.acme.example.org.evil.example",
     "smtp.acme.example.org..", "smtp-acme.example.org", "smtp.acme.example.org\n", "192.0.2.8",
     "192.0.2.7.evil.example", "192.0.2.07", "0xc0000207", "[192.0.2.7]", "2001:db8::8",
     "ſmtp.acme.example.org", "*.acme.example.org"],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(VendorError, match=r"is not listed for vendor 'acme'.*listed: smtp\.acme"):
        require_host(vendor(), host, 587)


@pytest.mark.parametrize(
    "host",
    ["", "SMTP.example.org", "smtp.example.org.", "smtp.example.org\n", "-a.example.org",
     "a_b.example.org", "*.example.org", "smtp.example.org:587", "https://smtp.example.org",
     "user@smtp.example.org", "a..b", "a" * 64 + ".org", "a." * 127 + "abc", "añil.example.org"],
)  # fmt: skip
def test_what_is_no_plain_host_cannot_be_listed(host: str) -> None:
    with pytest.raises(ValidationError, match="expected a plain host name such as smtp"):
        Host(host=host, port=587)


# --- the file ---


def test_the_sample_registry_names_this_machine_only() -> None:
    (sample,) = load_vendors(HOME / "vendors.yaml").values()
    assert (sample.name, sample.hosts) == ("embedded", (Host(host="localhost"),))
    assert sample.baa is not None
    assert sample.baa.id.startswith("SAMPLE")
    assert require_baa(sample, date(2026, 6, 1)).clauses == CLAUSES
    assert require_in_force(sample, date(2026, 6, 1)) == "SAMPLE-0001"


def test_the_sample_agreement_is_the_document_that_its_entry_names() -> None:
    (sample,) = load_vendors(HOME / "vendors.yaml").values()
    assert sample.baa is not None
    document = (HOME / sample.baa.document.kept_at).read_bytes()
    assert hashlib.sha256(document).hexdigest() == sample.baa.document.sha256
    assert document.startswith(b"SAMPLE. This is not an agreement.")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("contact:", "contakt:", "unknown key 'contakt', did you mean 'contact'?"),
        ("    contact: postmaster@localhost\n", "", "key 'contact' is missing: whom to call there"),
        ("signed: 2015-01-01", "signed: 2015-02-30", "19: 2015-02-30 is no date or number; mend"),
        ("signed: 2015-01-01", "signed: 20150101", "baa.signed: expected a day such as 2026-12-31"),
        ("2099-12-31", "true", "20: vendors.0.baa.expires: expected a day such as 2026-12-31"),
        ("2099-12-31", "2014-12-31", "baa: the agreement expires before it is signed; mend the"),
        ("- termination", "- terminaton", "vendors.0.baa.clauses.11: input should be 'permitted_u"),
        ("- {host: localhost}", "- localhost", "9: vendors.0.hosts.0: input should be a valid"),
        ("- {host: localhost}", "- {host: Localhost}", "hosts.0.host: expected a plain host name"),
        ("name: embedded", "name: Acme Inc", "7: vendors.0.name: string should match pattern"),
        ("id: SAMPLE-0001", "id: ''", "18: vendors.0.baa.id: string should have at least 1"),
        ("id: SAMPLE-0001", "id: 'own-relay:x'", "number does not begin with 'own-relay:'"),
        ("vendors:", "vendor:", "4: unknown key 'vendor', did you mean 'vendors'?"),
        ("opens: false", "opens: off", "off is true or false to YAML; write that, or quote it"),
        ("opens: false", "opens: 'off'", "tracking.opens: input should be a valid boolean"),
        ("      subcontractors: []\n", "", "key 'subcontractors' is missing: to whom the vendor"),
        (
            "        kept_at: docs/sample-agreement.txt\n",
            "",
            "'kept_at' is missing: where the docum",
        ),
        ("by: contract", "by: promise", "tls_to_recipients.by: input should be 'contract' or"),
        ("by: contract", "by: requiretls", "name the `clause` with `by: contract`, and with noth"),
        ("state: in_force", "state: conduit", "status.0.state: input should be 'in_force', 'susp"),
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
    entry = "  - name: embedded\n    hosts: [{host: '::1'}]\n    contact: someone\n"
    with pytest.raises(ConfigurationError, match="two vendors have the same name; rename one"):
        load(tmp_path, SAMPLE + entry)


def test_a_vendor_may_be_entered_before_its_agreement_and_is_not_usable(tmp_path: Path) -> None:
    entry = "  - name: soon\n    hosts: [{host: '::1'}]\n    contact: someone\n"
    with pytest.raises(VendorError, match="'soon' has no business associate agreement"):
        require_baa(load(tmp_path, SAMPLE + entry)["soon"], date(2025, 6, 2))


def test_an_unknown_vendor_is_refused() -> None:
    assert require_vendor({"acme": vendor()}, "acme") == vendor()
    with pytest.raises(VendorError, match=r"'Acme' is not in vendors\.yaml; enter it with its agr"):
        require_vendor({"acme": vendor()}, "Acme")


def test_an_agreement_cannot_be_stretched_after_loading() -> None:
    with pytest.raises(ValidationError):
        vendor().baa.expires = date(2099, 1, 1)  # type: ignore[union-attr,misc]
