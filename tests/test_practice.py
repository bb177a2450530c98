"""The practice file: strict, and safe to put into headers as it is (EML-02, EML-25, EML-30)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from reengage.errors import ConfigurationError
from reengage.practice import is_address, load_practice

HOME = Path(__file__).parents[1]
SAMPLE = (HOME / "practice.yaml").read_text(encoding="utf-8")


def write(tmp_path: Path, old: str, new: str) -> Path:
    assert old in SAMPLE
    path = tmp_path / "practice.yaml"
    path.write_text(SAMPLE.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_sample_practice_has_what_every_letter_must_show() -> None:
    practice = load_practice(HOME / "practice.yaml")
    assert practice.name == "Prairie Family Health"
    assert practice.postal_address.line == "100 Harney Street, Omaha, NE 68102"
    assert (practice.phone, practice.phone_link) == ("402-555-0100", "tel:+14025550100")


def test_the_sample_reaches_nobody() -> None:
    practice = load_practice(HOME / "practice.yaml")
    for address in (practice.from_address, practice.reply_to, practice.opt_out_mailto):
        assert address.endswith("example.org")
    assert practice.phone.split("-")[1] == "555"


def test_a_practice_cannot_be_changed_after_loading() -> None:
    practice = load_practice(HOME / "practice.yaml")
    with pytest.raises(ValidationError):
        practice.name = "Another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("short_name:", "shortname:", "4: unknown key 'shortname', did you mean 'short_name'?"),
        ("phone: ", "# phone: ", "key 'phone' is missing: telephone, as letters show it"),
        ('"402-555-0100"', '"+1 402"', "6: phone: expected a telephone number such as 402-555"),
        ("state: NE", "state: Nebraska", "5: postal_address.state: expected a state in two"),
        ('"68102"', "68102", "5: postal_address.zip: "),
        ("street: 100 Harney Street", "street: ''", "5: postal_address.street: expected one line"),
        ("America/Chicago", "Omaha", "expected an IANA time zone such as America/Chicago"),
        ("url: https://", "url: http://", "opt_out_url: expected an https address"),
        ("/opt-out/", "/opt-out", "opt_out_url: expected an https address that ends in a slash"),
        ("website: https:", "website: http:", "website: expected a page such as https://"),
        ("name: Prairie Family", 'name: "A\\r\\nBcc: x"  #', "3: name: expected one line"),
        ("letters@prairie", "letters@other", "dkim: domain prairie.example.org does not cover"),
        ("letters@prairie.example.org", "letters", "from_address: expected a plain address"),
        (
            "  - hiv\n",
            "  - '--'\n",
            "33: sensitive_service_lines.18: expected words of",
        ),
        ("sensitive_service_lines:", "sensitive_lines:", "unknown key 'sensitive_lines', did you"),
        ("selector: reengage", "selector: 'a b'", "dkim.selector: expected a DKIM selector"),
    ],
)
def test_a_wrong_entry_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_practice(write(tmp_path, old, new))
    assert "practice.yaml:" in str(error.value)
    assert told in str(error.value)


def test_sensitive_service_lines_are_words_however_they_are_written(tmp_path: Path) -> None:
    """PRV-32."""
    practice = load_practice(write(tmp_path, "  - hiv\n", "  - 'HIV / AIDS_Clinic.'\n"))
    assert "hiv aids clinic" in practice.sensitive_service_lines
    assert {"behavioral health", "psychiatry"} < set(practice.sensitive_service_lines)


def test_a_practice_without_a_website_is_fine(tmp_path: Path) -> None:
    assert load_practice(write(tmp_path, "website:", "# website:")).website is None


@pytest.mark.parametrize(
    "address",
    ["a@b.org", "A.B+c@Ex-ample.Org", "o'hara_1@mail.clinic.example.org", "x" * 64 + "@b.org"],
)
def test_a_plain_address_is_one(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "a@", "@b.org", "a@b", "a@b.1", "a@-b.org", "a@b-.org", "a@b..org", "a..b@c.org",
        ".a@b.org", "a.@b.org", "a b@c.org", "a@b.org ", "a@b.org\n", "a@b.org\r\nBcc: c@d.org",
        "a@b.org,c@d.org", "<a@b.org>", '"a"@b.org', "a@b@c.org", "ä@b.org", "a@[192.0.2.1]",
        "x" * 65 + "@b.org", "a@" + "b" * 64 + ".org", "a@" + "b.c" * 90 + ".org", "a\x00@b.org",
    ],
)  # fmt: skip
def test_whatever_is_not_plain_is_no_address(address: str) -> None:
    assert not is_address(address)
