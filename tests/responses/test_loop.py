"""The whole loop: our sender, a server that rejects some, what it returns, and the next run.

Once with Debian's Postfix and Dovecot, where they are installed, once with simulators everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from daily import Practice
from notices import Sent, dsn
from reengage.embedded.certificates import Certificates
from reengage.embedded.processes import wait_until
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from reengage.responses.read import read
from simulators.certificates import good
from simulators.mailhouse import Mailhouse, missing
from simulators.smtp import HostileRelay
from world import NOW

DEAD, FULL, WELL = "p0", "p1", "p2"
REJECTED = {
    f"{DEAD}@example.org": "5.1.1 User unknown",
    f"{FULL}@example.org": "5.2.2 Mailbox full",
}


@pytest.fixture
def with_returns(practice: Practice, bounce_domain: Path) -> Practice:
    """Three patients; no campaign waits for another."""
    for path in (bounce_domain / "campaigns").glob("*.yaml"):
        content = path.read_text(encoding="utf-8")
        content = re.sub("days_after_any_letter: [0-9]+", "days_after_any_letter: 0", content)
        path.write_text(content, encoding="utf-8")
    for key in (DEAD, FULL, WELL):
        practice.world.patient(key)
    return practice


def mail_out(practice: Practice, campaign: str, expected: dict[str, int]) -> None:
    run = practice.open(campaign)
    for chunk in practice.hurry(run):
        send(run, chunk)
    assert settle(run) == expected
    run.store.dispose()


def excluded(practice: Practice, campaign: str) -> dict[str, list[str]]:
    run = practice.open(campaign)
    practice.extracted(run)
    found = {key: reasons for key, reasons in practice.reasons(run).items() if reasons}
    run.store.dispose()
    return found


def test_a_dead_address_is_left_alone_until_it_is_confirmed_anew(
    with_returns: Practice, hostile: HostileRelay, tmp_path: Path
) -> None:
    """PRV-23: the simulator's form, by Maildir."""
    practice = with_returns
    mail_out(practice, "appointment_reminder", {"sent": 3})
    (tmp_path / "returns" / "new").mkdir(parents=True)
    for letter in map(Sent.of, hostile.letters):
        local, _, domain = letter.envelope_from.partition("@")
        assert (local[:35], len(local)) == (f"b-{letter.letter_id}-", 51)
        assert domain == "bounce.prairie.example.org"
        if letter.recipient in REJECTED:
            status = REJECTED[letter.recipient]
            content = dsn(letter, status=status[:5], diagnostic=f"smtp; 550 {status}")
            (tmp_path / "returns" / "new" / letter.envid).write_bytes(content)
    settings = replace(practice.settings, returns_maildir=tmp_path / "returns")
    assert read(settings, "maildir") == {"bounce hard": 1, "bounce soft": 1}
    assert excluded(practice, "medication_reminder") == {DEAD: ["address_suppressed"]}
    practice.world.change("contact", DEAD, verified_at=NOW + timedelta(hours=1))
    later = practice.at(NOW + timedelta(hours=2))
    assert excluded(later, "medication_reminder") == {}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return good(tmp_path_factory.mktemp("mailhouse"))


@pytest.fixture
def mailhouse(certificates: Certificates) -> Iterator[Mailhouse]:
    if why := missing():
        pytest.skip(why)
    with Mailhouse.running(certificates, REJECTED) as running:
        yield running


def test_postfix_returns_what_it_rejects_and_dovecot_has_it(
    with_returns: Practice, mailhouse: Mailhouse, certificates: Certificates
) -> None:
    settings = replace(
        with_returns.settings,
        relays={"embedded": mailhouse.relay_url},
        relay_trust=certificates.ca,
        returns_imap=(mailhouse.imap_url,),
        returns_trust=certificates.ca,
    )
    practice = replace(with_returns, settings=settings)
    mail_out(practice, "appointment_reminder", {"sent": 3})
    wait_until(lambda: mailhouse.waiting() == 2, seconds=30, what="what Postfix returns")
    assert read(settings, "imap") == {"bounce hard": 1, "bounce soft": 1}
    assert mailhouse.waiting() == 0
    assert read(settings, "imap") == {}
    found = practice.rows("SELECT reason, status FROM suppression")
    assert found == [{"reason": "hard_bounce", "status": "5.1.1"}]
    assert excluded(practice, "medication_reminder") == {DEAD: ["address_suppressed"]}
