"""Alerts: staff are told by e-mail and webhook, once, by the real way out, nothing of a patient."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from correspondents import Correspondents
from daily import Practice
from reengage import store
from reengage.alerts import webhook
from reengage.alerts.alert import Alert, failed, late, question
from reengage.alerts.reminders import reminders
from reengage.alerts.tell import listed, tell
from reengage.deploy import certificates
from reengage.embedded.relay import RelayProcess
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.pipeline.breaker import Question as Pause
from reengage.pipeline.question import Question
from reengage.sealing.smime import Signer
from simulators.smtp import HostileRelay
from world import NOW

STAFF = ("it@prairie.example.org", "privacy@prairie.example.org")
RED = failed("reengage_x", "manual__1", "gate", "GateError: suite cohort: consented in set", None)
CANARY = "canary.4711@example.org"


@pytest.fixture
def told(practice: Practice) -> Practice:
    """A practice whose staff are told through the relay of its letters."""
    file = practice.settings.home / "practice.yaml"
    entry = f"alerts: {{email: [{', '.join(STAFF)}], vendor: embedded}}\n"
    file.write_text(file.read_text(encoding="utf-8") + entry, encoding="utf-8")
    return practice


class Hook:
    """A webhook on this machine."""

    def __init__(self) -> None:
        self.posted: list[dict[str, str]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                hook.posted.append(json.loads(self.rfile.read(length)))
                self.send_response(hook.status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/secret-token"


@pytest.fixture
def hook(practice: Practice) -> Iterator[Hook]:
    made = Hook()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    practice.settings = replace(practice.settings, alert_webhooks=(made.address,))
    yield made
    made.server.shutdown()
    made.server.server_close()


def mails(relay: HostileRelay) -> list[EmailMessage]:
    return [message_from_bytes(one.content, policy=default) for one in relay.letters]


def test_staff_are_told_by_signed_mail_over_the_door_of_letters(
    told: Practice, hostile: HostileRelay
) -> None:
    assert tell(told.settings, RED) == 1
    found = mails(hostile)
    assert [one["To"] for one in found] == list(STAFF)
    [first, _] = found
    assert first["Subject"] == "reengage: reengage_x failed"
    assert "gate: GateError: suite cohort: consented in set" in first.get_content()
    assert first["DKIM-Signature"].startswith("v=1; a=rsa-sha256")
    assert first["Auto-Submitted"] == "auto-generated"
    assert "List-Unsubscribe" not in first


def test_it_goes_through_the_embedded_relay_for_real(
    told: Practice, relay_process: RelayProcess
) -> None:
    maildir = relay_process._maildir
    before = set(maildir.glob("new/*"))
    settings = replace(
        told.settings, relays={"embedded": relay_process.url}, relay_trust=relay_process.ca
    )
    assert tell(settings, RED) == 1
    new = set(maildir.glob("new/*")) - before
    assert len(new) == len(STAFF)
    assert all(b"consented in set" in path.read_bytes() for path in new)


def test_the_same_alert_is_told_once(told: Practice, hostile: HostileRelay, hook: Hook) -> None:
    assert [tell(told.settings, RED) for _ in range(3)] == [2, 0, 0]
    other = failed("reengage_x", "manual__2", "gate", "GateError: again", None)
    assert tell(told.settings, other) == 2
    assert (len(hostile.letters), len(hook.posted)) == (4, 2)


def test_a_webhook_gets_the_text_and_its_address_is_in_no_log(
    practice: Practice, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert tell(practice.settings, RED) == 1
    assert hook.posted == [{"text": RED.text}]
    hook.status = 302
    other = failed("reengage_x", "manual__2", "gate", "GateError: again", None)
    assert tell(practice.settings, other) == 0
    assert "answered 302" in caplog.text
    assert "secret-token" not in caplog.text


def offered(practice: Practice) -> list[tuple[object, ...]]:
    """What became of alerts at each channel, the oldest first, as pages have it."""
    with store.connect(practice.settings.store_url).connect() as connection:
        found = reversed(listed(connection, None, 99))
        return [(one.key, one.channel, one.taken, one.why) for one in found]


def test_a_channel_that_fails_hinders_no_other_and_where_all_fail_it_is_told_later(
    told: Practice, hostile: HostileRelay, hook: Hook
) -> None:
    hostile.script = {"rcpt": ["550 5.1.1 no"] * 4}
    assert tell(told.settings, RED) == 1
    hook.status = 500
    again = late("reengage_x", "manual__1", timedelta(hours=6))
    assert tell(told.settings, again) == 0
    hook.status, hostile.script = 200, {}
    assert tell(told.settings, again) == 2
    assert offered(told) == [
        (RED.key, "e-mail", False, "RelayError"), (RED.key, "webhook 1", True, None),
        (again.key, "e-mail", False, "RelayError"),
        (again.key, "webhook 1", False, "ConfigurationError"),
        (again.key, "e-mail", True, None), (again.key, "webhook 1", True, None),
    ]  # fmt: skip


def test_a_store_that_is_away_is_no_reason_for_silence(practice: Practice, hook: Hook) -> None:
    settings = replace(
        practice.settings, store_url="postgresql+psycopg://nobody@/nosuch?host=/nowhere"
    )
    assert tell(settings, RED) == 1


def test_nothing_that_goes_wrong_with_an_alert_is_raised(practice: Practice) -> None:
    (practice.settings.home / "practice.yaml").write_text("{", encoding="utf-8")
    assert tell(practice.settings, RED) == 0


def test_without_anybody_to_tell_nothing_is_done(practice: Practice, hostile: HostileRelay) -> None:
    assert tell(practice.settings, RED) == 0
    assert hostile.letters == []
    assert practice.rows("SELECT FROM alert") == []


def test_what_looks_like_an_address_is_withheld_from_a_reason(
    told: Practice, hostile: HostileRelay, hook: Hook
) -> None:
    leak = failed("reengage_x", "r", "send", f"RelayError: 550 <{CANARY}> unknown", None)
    tell(told.settings, leak)
    said = [mail.as_string() for mail in mails(hostile)] + [json.dumps(hook.posted)]
    assert not any("canary" in one for one in said)
    assert all("withheld" in one for one in said)


@pytest.mark.parametrize(
    "address",
    ["http://hooks.example.org/x", "ftp://hooks.example.org", "hooks.example.org", "https://[x/y"],
)
def test_an_address_that_could_be_read_on_the_way_is_refused(
    address: str, practice: Practice
) -> None:
    settings = replace(practice.settings, alert_webhooks=(address,))
    with pytest.raises(ConfigurationError) as refused:
        webhook.addresses(settings)
    assert address not in str(refused.value)


def test_mail_without_a_vendor_is_refused_by_the_file(practice: Practice) -> None:
    from reengage.practice import load_practice

    file = practice.settings.home / "practice.yaml"
    entry = f"alerts: {{email: [{STAFF[0]}]}}\n"
    file.write_text(file.read_text(encoding="utf-8") + entry, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="`email` needs `vendor`"):
        load_practice(file)


def ending(practice: Practice, expires: date) -> None:
    file = practice.settings.home / "vendors.yaml"
    text = file.read_text(encoding="utf-8").replace("expires: 2099-12-31", f"expires: {expires}")
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("days", "keys"),
    [
        (61, []),
        (60, ["embedded/notice"]),
        (30, ["embedded/warning"]),
        (7, ["embedded/urgent/2025-06-02"]),
        (-1, ["embedded/over/2025-06-02"]),
    ],
)
def test_an_agreement_that_ends_is_told_at_each_level_and_daily_at_the_end(
    days: int, keys: list[str], practice: Practice
) -> None:
    ending(practice, NOW.date() + timedelta(days=days))
    found = reminders(practice.settings)
    assert [one.key for one in found] == keys
    assert {one.kind for one in found} <= {"agreement"}


@pytest.mark.parametrize(
    ("days_left", "keys"),
    [(61, []), (30, ["S/MIME/warning"]), (5, ["S/MIME/urgent/"]), (-2, ["S/MIME/over/"])],
)
def test_the_practices_certificate_that_ends_is_told(
    days_left: int, keys: list[str], practice: Practice, tmp_path: Path
) -> None:
    correspondents = Correspondents.create(tmp_path / "correspondents")
    correspondents.equip(practice.settings.keyring, "letters@prairie.example.org")
    identity = open_keyring(practice.settings.keyring).smime_identity()
    assert identity
    signer = Signer.from_pem(*identity, address="letters@prairie.example.org", at=NOW)
    now = signer.identity.certificate.expires - timedelta(days=days_left)
    found = reminders(practice.at(now).settings)
    told = [one.key for one in found if one.kind == "certificate"]
    assert [key.replace(str(now.date()), "") for key in told] == keys


def certified(directory: Path, made: datetime) -> Path:
    """Certificates between services, made at that instant; the file of their authorities."""
    for name in ("ca", *certificates.SERVICES):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "system.pem").touch()
    assert certificates.ensure(directory, made, system=directory / "system.pem", renew=True)
    return directory / "ca" / "ca.pem"


def test_certificates_between_services_that_end_are_told_by_the_newest_of_the_file(
    practice: Practice, tmp_path: Path
) -> None:
    made = NOW - timedelta(days=300)
    certified(tmp_path, made)
    (tmp_path / "redis" / "cert.pem").unlink()
    trust = certified(tmp_path, made + timedelta(days=40))  # the older authority stays beside it
    ends = made + timedelta(days=40) + certificates.VALID
    for days_left, key in (
        (61, None), (60, "notice"), (30, "warning"), (5, "urgent/"), (0, "urgent/"), (-2, "over/"),
    ):  # fmt: skip
        at = replace(practice.at(ends - timedelta(days=days_left)).settings, services_trust=trust)
        told = {one.key.replace(str(at.now().date()), ""): one.text for one in reminders(at)}
        assert list(told) == ([f"services/{key}"] if key else []), days_left
        assert all(f"end on {ends.date()}" in text for text in told.values())
        assert reminders(replace(at, services_trust=None)) == []


def test_whoever_is_warned_of_the_services_certificates_can_renew_them_at_once(
    tmp_path: Path, practice: Practice
) -> None:
    made = NOW - timedelta(days=300)
    trust = certified(tmp_path, made)
    last = made + certificates.VALID - timedelta(days=31)  # at which 31 whole days are left
    for now, level, renews in (
        (last, "notice", False), (last + timedelta(seconds=1), "warning", True),
    ):  # fmt: skip
        [told] = reminders(replace(practice.at(now).settings, services_trust=trust))
        assert told.key.startswith(f"services/{level}")
        system = tmp_path / "system.pem"
        assert certificates.ensure(tmp_path, now, system=system, renew=True) is renews


def test_a_file_of_authorities_that_cannot_be_read_is_no_silence(
    practice: Practice, tmp_path: Path
) -> None:
    at = replace(practice.settings, services_trust=tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match="holds no certificates that can be read"):
        reminders(at)


def test_a_question_tells_where_it_is_answered_and_that_silence_is_a_no() -> None:
    link = "https://a.test/x"
    alert = question("reengage_x", "r", "preflight", "1 changed. Send by it?", "a1", link)
    assert "1 changed. Send by it? Answer under Required Actions" in alert.text
    assert "Look: https://a.test/x" in alert.text


def test_the_next_question_of_a_task_is_another_alert_though_it_reads_alike() -> None:
    """A run that paused itself twice, and two changes of one template, are two things to answer."""
    of = Question("s", "b", timedelta(hours=1), {"template/x": "a" * 64})
    changed = replace(of, things={"template/x": "b" * 64})
    about = [of.about, changed.about, Pause(1, 0, "s", "b", of.patience).about]
    about.append(Pause(2, 0, "s", "b", of.patience).about)
    keys = {question("d", "r", "send", "s", one, None).key for one in about}
    assert len(keys) == 4
    assert replace(of, patience=timedelta(hours=2)).about == of.about  # asked again: told once


def test_an_alert_without_a_reason_of_ours_points_to_the_log() -> None:
    alert: Alert = failed("reengage_x", "r", "send", None, None)
    assert "without a reason of ours: see the task's log" in alert.text
