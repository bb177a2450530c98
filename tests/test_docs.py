"""The documents tell of everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import documented
import linked
import pytest
from reengage.cli import reference
from reengage.cli.main import parser
from reengage.reasons import EXCLUDED, NOTES, WITHHELD
from reengage.reports.rules import RULES
from reengage.roles import CAPABILITIES
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


@pytest.mark.parametrize("page", linked.pages())
def test_every_link_between_the_documents_leads_somewhere(page: str) -> None:
    assert linked.broken(page) == []


def test_the_links_of_every_page_are_followed() -> None:
    assert {
        "README.md", "CHANGELOG.md", "docs/threat-model.md", "docs/reference/commands.md",
        "deploy/compose/README.md", "deploy/kubernetes/README.md",
    } <= set(linked.pages())  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "slug"),
    [
        ("Known gaps", "known-gaps"),
        ("The pages (`make bench WHAT=reports`)", "the-pages-make-bench-whatreports"),
        ("An analyst, or [anybody](people.md)", "an-analyst-or-anybody"),
        ("A `role_of` -- each", "a-role_of----each"),
    ],
)  # fmt: skip
def test_a_heading_is_named_as_github_names_it(heading: str, slug: str) -> None:
    assert linked.slug_of(heading) == slug


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One\n\n# One\n\n```\n# No heading\n```\n", encoding="utf-8")
    good = "[a](b.md) [b](b.md#one) [c](b.md#one-1) [d](#here) [e](https://example.org/#x) `[f](g)`"
    bad = ["c.md", "b.md#two", "b.md#one-2", "b.md#no-heading", "#there"]
    links = " ".join(f"[x]({link})" for link in bad)
    (tmp_path / "a.md").write_text(f"## Here\n\n{good} {links}\n", encoding="utf-8")
    assert linked.broken("a.md", tmp_path) == bad


# --- commands ---

WRITTEN = documented.commands(HOME)


@pytest.mark.parametrize("page", sorted({command.page for command in WRITTEN}))
def test_every_command_that_a_page_names_is_one(page: str) -> None:
    told = [
        f"{command.text}: {fault}"
        for command in dict.fromkeys(WRITTEN)
        if command.page == page and (fault := command.fault())
    ]
    assert told == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("python -m reengage ledger verfy", "invalid choice: 'verfy'"),
        ("$ python -m reengage report --jsn", "unrecognized arguments: --jsn"),
        ("python -m reengage report [--jsn]", "nothing fits what it says may be left out"),
        ("python -m reengage experiment show | stops x", "invalid choice: 'stops'"),
        ("python -m reengage why --patient - --date soon", "write a day as YYYY-MM-DD"),
        ("make rnu DRY=1", "the Makefile has no target rnu"),
        ("make run DYR=1", "the Makefile reads no variable DYR"),
    ],
)
def test_a_command_that_is_none_is_told(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "README.md").write_text(f"```\n{text}   # a remark\n```\n", encoding="utf-8")
    (command,) = documented.commands(tmp_path)
    assert fault in str(command.fault())
    (tmp_path / "README.md").write_text(f"Say `{text}` and see.\n", encoding="utf-8")
    (command,) = documented.commands(tmp_path)
    assert fault in str(command.fault())


def test_every_command_is_on_some_page() -> None:
    pages = "".join(
        path.read_text(encoding="utf-8") for path in [HOME / "README.md", *HOME.glob("docs/*.md")]
    )
    names = [name for name, _, _ in reference.every_command(parser())]
    assert [" ".join(name) for name in names if " ".join(name) not in pages] == []


def test_the_emergency_procedure_grants_and_takes_back_a_role_that_reads_and_is_on_record() -> None:
    """SEC-12: its commands are held against the real parsers above, its role against the table."""
    page = (HOME / "docs" / "runbook.md").read_text(encoding="utf-8")
    part = page.partition("\n## Emergency access\n")[2].partition("\n## ")[0]
    granted = re.findall(r'airflow users add-role .* --role "([^"]+)"', part)
    assert granted == re.findall(r'airflow users remove-role .* --role "([^"]+)"', part)
    assert granted
    assert all("disclosures" in CAPABILITIES[role] for role in granted)
    reads = [rule for rule in RULES.values() if rule.needs == "disclosures"]
    assert reads
    assert all(rule.records for rule in reads)


# --- proofs ---


def test_every_proof_of_the_threat_model_is_a_test() -> None:
    page = (HOME / "docs" / "threat-model.md").read_text(encoding="utf-8")
    proofs = re.findall(r"\[([^\]]+)\]\(\.\./(tests/[^)]+)\)", page)
    assert len(proofs) > 30
    missing = [
        name
        for name, file in proofs
        if f"def test_{name.replace(' ', '_')}(" not in (HOME / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_a_picture_is_readable_in_the_dark_and_by_ear() -> None:
    for path in HOME.glob("docs/pictures/*.svg"):
        picture = path.read_text(encoding="utf-8")
        for part in ("prefers-color-scheme: dark", "<title", "<desc", 'class="paper"'):
            assert part in picture, f"{path.name} lacks {part}"
