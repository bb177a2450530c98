"""Real bounces and complaints of many servers: none stumbles, and nine in ten are judged alike.

The corpus calls `filtered` what a server says with "User unknown" although it knows better; we have
the server's word only, and take it. docs/responses.md lists every miss with its reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reengage.responses.recognise import Recognised, recognise
from reengage.settings import HOME

CLASSES = {
    "userunknown": {"no_such_user"}, "hostunknown": {"no_such_domain"}, "hasmoved": {"moved"},
    "notaccept": {"takes_no_mail"}, "mailboxfull": {"mailbox_full"},
    "mesgtoobig": {"too_large"}, "expired": {"expired", "network"},
    "spamdetected": {"content", "sender_refused"}, "authfailure": {"sender_refused"},
    "requireptr": {"sender_refused"},
}  # fmt: skip
"""The corpus' reasons for which there is one word of ours, or two that do the same."""


@pytest.fixture(scope="module")
def judged(bounces: Path) -> dict[str, tuple[list[Recognised], list[dict[str, Any]]]]:
    """Each file: what we make of it, what is expected."""
    expected = json.loads((bounces / "expected.json").read_text(encoding="utf-8"))
    return {
        name: ([recognise(one) for one in _messages((bounces / name).read_bytes())], wanted)
        for name, wanted in expected.items()
    }


def _messages(content: bytes) -> Iterator[bytes]:
    """One file is a mailbox of two."""
    yield from re.split(rb"\nFrom MAILER-DAEMON [^\n]*\n", content)


def _hard(found: list[Recognised], wanted: list[dict[str, Any]]) -> list[bool]:
    if found[0].kind in ("complaint", "auto_reply"):
        return [False] * len(wanted)
    return [report.hard for one in found for report in one.reports]


def test_nine_in_ten_recipients_are_judged_hard_or_not_as_expected(
    judged: dict[str, tuple[list[Recognised], list[dict[str, Any]]]],
) -> None:
    hits = total = 0
    missed = set()
    for name, (found, wanted) in judged.items():
        ours, theirs = Counter(_hard(found, wanted)), Counter(one["hard"] for one in wanted)
        hits += (ours & theirs).total()
        total += theirs.total()
        if ours != theirs:
            missed.add(name.removesuffix(".eml"))
    assert (len(judged), total) == (180, 195)
    assert hits / total >= 0.9
    page = (HOME / "docs" / "responses.md").read_text(encoding="utf-8")
    assert missed == set(
        re.findall(r"^\| `((?:lhost|rhost|rfc\d+|arf)-[a-z0-9-]+)` \|", page, re.MULTILINE)
    )


def test_every_message_is_known_for_what_it_is_but_the_one_of_a_mailing_list(
    judged: dict[str, tuple[list[Recognised], list[dict[str, Any]]]],
) -> None:
    kinds = {name: found[0].kind for name, (found, _) in judged.items()}
    assert {name for name, kind in kinds.items() if kind == "complaint"} == {
        name for name in kinds if name.startswith("arf-")
    }
    assert [name for name, kind in kinds.items() if kind == "auto_reply"] == ["rfc3834-05.eml"]
    assert [name for name, kind in kinds.items() if kind == "reply"] == ["lhost-fml-03.eml"]


def test_reasons_are_grouped_as_the_corpus_groups_them(
    judged: dict[str, tuple[list[Recognised], list[dict[str, Any]]]],
) -> None:
    alike = total = 0
    for found, wanted in judged.values():
        causes = [report.diagnosis.cause for one in found for report in one.reports]
        for one in wanted:
            if one["reason"] in CLASSES:
                total += 1
                alike += bool(CLASSES[one["reason"]] & set(causes))
    assert total > 110
    assert alike / total > 0.9
