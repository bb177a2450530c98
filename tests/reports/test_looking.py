"""Looking before sending, on the pages: one patient's letter, and a test letter to staff."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from hashlib import sha256
from html import unescape

import pytest
from reengage.reports.preview import styles_of

from reports.conftest import CAMPAIGN, Reports

KEY = "p5"
FORM = {"campaign": CAMPAIGN, "patient": KEY}
TO = "nurse@prairie.example.org"
TRIAL = f"/campaigns/{CAMPAIGN}/test-letter"
HOSTILE = ("'; DROP TABLE letter; --", "<script>alert(1)</script>", "a\x00b", "x" * 5000)


def framed(html: str) -> str:
    """The document in the page's frame."""
    found = re.search(r'<iframe class="letter" sandbox="" title="[^"]*" srcdoc="([^"]*)"', html)
    assert found
    return unescape(found[1])


def test_an_officer_sees_the_letter_in_a_frame_that_can_do_nothing(reports: Reports) -> None:
    answer = reports.post("/compliance/preview", FORM)
    assert answer.status_code == 200, answer.text[:2000]
    letter = framed(answer.text)
    assert f"Given{KEY}" in letter
    assert "<script" not in letter
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "'unsafe-inline'" not in policy
    for style in styles_of(letter):
        assert f"'{style}'" in policy
    assert len(policy) < 4000  # what a proxy takes of a header
    for name, value in answer.headers.items():
        assert KEY not in f"{name}{value}".replace(policy, "")


def test_who_looked_is_on_record_by_pseudonym_and_before_the_patient_is_read(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-15: the warehouse is away, so that nothing but the record can have happened."""
    before = len(reports.accesses())
    monkeypatch.setenv("REENGAGE_WAREHOUSE_URL", "postgresql+psycopg://u:hunter2@127.0.0.1:1/w")
    answer = reports.post("/compliance/preview", FORM)
    assert answer.status_code == 503
    assert "hunter2" not in answer.text
    [record] = reports.accesses()[before:]
    assert (record["actor"], record["action"], record["of"]) == (
        "airflow:officer", "opened", "preview",
    )  # fmt: skip
    assert record["detail"]["campaign"] == CAMPAIGN  # type: ignore[index]
    assert KEY not in str(record["detail"]["patient"])  # type: ignore[index]


def test_what_cannot_be_recorded_is_not_shown(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_STORE_URL", "postgresql+psycopg://u:p@127.0.0.1:1/store")
    answer = reports.post("/compliance/preview", FORM)
    assert answer.status_code == 503
    assert f"Given{KEY}" not in answer.text


@pytest.mark.parametrize(
    ("patient", "said"), [("p1", "no_authorization"), ("nosuch", "no candidate of this campaign")]
)
def test_of_who_would_get_no_letter_the_reason_is_told(
    patient: str, said: str, reports: Reports
) -> None:
    answer = reports.post("/compliance/preview", {**FORM, "patient": patient})
    assert answer.status_code == 200
    assert said in answer.text
    assert "<iframe" not in answer.text


def test_a_patient_is_asked_about_by_a_form_only(reports: Reports) -> None:
    answer = reports.get(f"/compliance/preview?campaign={CAMPAIGN}&patient={KEY}")
    assert answer.status_code == 200
    assert f'<option value="{CAMPAIGN}" selected>' in answer.text
    assert KEY not in answer.text


@pytest.mark.parametrize(
    "wrong",
    [{"campaign": ""}, {"campaign": "../../etc"}, {"patient": ""}, {"day": "2024-01-01"},
     {"day": "2025-06-03"}, {"day": "0001-01-01"}, {"day": "9999-12-31"}, {"day": "today"},
     *({"patient": one} for one in HOSTILE[2:]), *({"campaign": one} for one in HOSTILE)],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_refused_without_repeating_it(
    wrong: dict[str, str], reports: Reports
) -> None:
    before = len(reports.accesses())
    answer = reports.post("/compliance/preview", {**FORM, **wrong})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert KEY not in answer.text
    assert len(reports.accesses()) == before


@pytest.mark.parametrize("key", HOSTILE[:2])
def test_a_hostile_key_is_a_patient_that_nobody_knows(key: str, reports: Reports) -> None:
    answer = reports.post("/compliance/preview", {**FORM, "patient": key})
    assert "no candidate of this campaign" in answer.text
    assert "<script>alert" not in answer.text


def test_styles_are_allowed_one_by_one() -> None:
    html = (
        '<p style="color:red">a</p><p style="color:red">b</p><i style="font:&quot;X&quot;">c</i>'
        "<style>\r\np > a{}\r\n</style><!--[if mso]><style>x{}</style><![endif]--><p style>d</p>"
    )
    said = ["color:red", 'font:"X"', "\np > a{}\n"]
    assert styles_of(html) == [
        f"sha256-{b64encode(sha256(one.encode()).digest()).decode()}" for one in said
    ]


@pytest.fixture
def fresh(reports: Reports) -> Iterator[Reports]:
    """The relay took no letter yet, and does what it does by itself."""
    before, script = len(reports.relay.letters), reports.relay.script
    yield reports
    del reports.relay.letters[before:]
    reports.relay.script = script


def test_an_engineer_sends_a_test_letter_and_is_on_record_without_the_address(
    fresh: Reports,
) -> None:
    before, letters = len(fresh.accesses()), len(fresh.relay.letters)
    answer = fresh.post(TRIAL, {"to": TO, "language": "es"}, "engineer")
    assert answer.status_code == 200, answer.text[:2000]
    assert "The relay took it over" in answer.text
    [letter] = fresh.relay.letters[letters:]
    message = message_from_bytes(letter.content, policy=default)
    assert message["Subject"].startswith("[TEST] ")
    assert message["To"] == TO
    [record] = fresh.accesses()[before:]
    assert (record["actor"], record["action"]) == ("airflow:engineer", "tested")
    assert TO not in str(record)


@pytest.mark.parametrize(
    "form",
    [{"to": "p5@example.org", "language": "en"}, {"to": "", "language": "en"},
     {"to": "x@evil.prairie.example.org.test", "language": "en"},
     {"to": "nurse@prairie.example.org\r\nBcc: p5@example.org", "language": "en"},
     {"to": TO, "language": "tlh"}, {"to": TO}, {"to": TO, "language": "en", "variant": "x"},
     *({"to": one, "language": "en"} for one in HOSTILE)],
)  # fmt: skip
def test_a_test_letter_goes_to_nobody_else_and_in_no_other_words(
    form: dict[str, str], fresh: Reports
) -> None:
    before, letters = len(fresh.accesses()), len(fresh.relay.letters)
    answer = fresh.post(TRIAL, form)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert "p5@" not in answer.text
    assert len(fresh.relay.letters) == letters
    assert len(fresh.accesses()) == before


def test_what_the_relay_refuses_and_a_relay_that_is_away_are_told(
    fresh: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.relay.script = {"rcpt": "550 5.1.1 no such user"}
    answer = fresh.post(TRIAL, {"to": TO, "language": "en"})
    assert answer.status_code == 200
    assert "It is refused" in answer.text
    monkeypatch.setenv("REENGAGE_RELAY_URL_EMBEDDED", "smtp://localhost:1")
    answer = fresh.post(TRIAL, {"to": TO, "language": "en"})
    assert answer.status_code == 503
    assert "It was not sent" in answer.text
    assert TO not in answer.text


@pytest.mark.parametrize("slug", ["nosuch", "..%2f..%2fetc", "health_education%00"])
def test_there_is_no_test_letter_of_what_is_no_campaign(slug: str, reports: Reports) -> None:
    assert reports.get(f"/campaigns/{slug}/test-letter").status_code == 404
    form = {"to": TO, "language": "en"}
    assert reports.post(f"/campaigns/{slug}/test-letter", form).status_code == 404
