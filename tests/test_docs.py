"""The documents tell of everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reengage.reasons import EXCLUDED, NOTES, WITHHELD
from reengage.sealing.certificates import FAULTS
from reengage.settings import HOME

REASON = re.compile(r"(?:THEN|ELSE) '([a-z]+_?[a-z_]*)'")
REASONS_OF_PYTHON = (
    "address_malformed", "field_unusable", "address_changed", "appointment_changed", "ambiguous",
    "medication_changed", "no_authorization", "no_part2_consent", "authorization_duplicate",
    "time_zone_unknown", "outside_send_window", "run_became_a_replay", "interrupted_after_attempt",
    "stopped_by_breaker", "campaign_paused", "resolved_as_refused",
    "too_late", "restriction_since", "confidential_channel_since", "database_crashed",
    "store_restored",
    "certificate_client_unknown", "no_signing_certificate", "no_safe_way", "certificate_changed",
    "address_lost", "portal_factor_missing",
    "seal_lapsed", *FAULTS,
)  # fmt: skip


def reasons() -> set[str]:
    files = [*(HOME / "sql" / "extract").rglob("*.sql"), *(HOME / "sql" / "outbox").glob("*.sql")]
    found = {code for file in files for code in REASON.findall(file.read_text(encoding="utf-8"))}
    return (found | set(REASONS_OF_PYTHON)) - {"claimed", "withheld"}  # those are states


def test_every_reason_code_is_explained() -> None:
    page = (HOME / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert sorted(code for code in reasons() if f"`{code}`" not in page) == []


def test_every_reason_that_is_explained_is_given() -> None:
    page = (HOME / "docs" / "reasons.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z_]+)`", page, re.MULTILINE))
    assert sorted(explained - reasons()) == []


def test_the_page_shows_the_catalogue_as_it_is() -> None:
    page = (HOME / "docs" / "reasons.md").read_text(encoding="utf-8")
    rows = [
        f"| `{reason.code}` | {reason.means} | {', '.join(reason.rules)} |"
        for reason in (*EXCLUDED, *WITHHELD)
    ] + [f"| `{code}` | {means} |" for code, means in NOTES.items()]
    assert [row for row in rows if row not in page] == []
    codes = [reason.code for reason in (*EXCLUDED, *WITHHELD)]
    assert len(codes) == len(set(codes))
    waiting = {
        "outside_send_window", "run_became_a_replay", "interrupted_after_attempt",
        "database_crashed", "stopped_by_breaker", "campaign_paused", "resolved_as_refused",
        "store_restored",
    }  # fmt: skip
    assert reasons() - waiting == {*codes, *NOTES}


def test_the_reasons_that_python_gives_are_in_the_library() -> None:
    library = "".join(
        path.read_text(encoding="utf-8") for path in (HOME / "plugins" / "reengage").rglob("*.py")
    ) + (HOME / "sql" / "outbox" / "claim.sql").read_text(encoding="utf-8")
    assert [code for code in REASONS_OF_PYTHON if code not in library] == []


@pytest.mark.parametrize(
    "page",
    sorted(str(p.relative_to(HOME)) for p in [HOME / "README.md", *HOME.glob("docs/**/*.md")]),
)
def test_every_link_between_the_documents_leads_somewhere(page: str) -> None:
    at = HOME / page
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", at.read_text(encoding="utf-8"))
    inner = [link for link in links if "://" not in link]
    assert [link for link in inner if not (at.parent / Path(link)).exists()] == []
