"""Preflight: what must hold before a patient is read; where it does not, nothing is left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import simulators.certificates as shown
import yaml
from daily import Practice, approve_all
from reengage.delivery import Rate
from reengage.errors import ConfigurationError, KeyringError, RelayError, VendorError
from reengage.keys import ensure_keyring
from reengage.pipeline import pacing
from reengage.pipeline.preflight import preflight, when_to_ask_again
from reengage.relay import RelayBusyError
from reengage.settings import Settings
from reengage.vendors import Vendor, load_vendors
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine
from world import DAY, NOW

CAMPAIGN = "health_education"
Spoil = Callable[[Settings], Settings | None]


def left_behind(practice: Practice) -> tuple[int, int]:
    """Runs in the store, data keys in the keyring."""
    keys = list((practice.settings.keyring / "runs").iterdir())
    return len(practice.rows("SELECT 1 FROM run")), len(keys)


def vendors(settings: Settings, **changes: object) -> Settings:
    """The registry with a changed entry, in a file of its own (REENGAGE_VENDORS_FILE)."""
    registry = yaml.safe_load((settings.home / "vendors.yaml").read_text())
    registry["vendors"][0].update(changes)
    file = settings.home.parent / "vendors-of-the-practice.yaml"
    file.write_text(yaml.safe_dump(registry))
    return replace(settings, vendors_file=file)


def baa(settings: Settings, **changes: object) -> Settings:
    registry = yaml.safe_load((settings.home / "vendors.yaml").read_text())
    return vendors(settings, baa={**registry["vendors"][0]["baa"], **changes})


def own_relay(settings: Settings, domain: str) -> Settings:
    declared = {
        "declared_by": "Ada Reed",
        "declared_on": DAY,
        "domain": domain,
        "reason": "we run the mail server ourselves and it delivers directly",
    }
    return vendors(settings, baa=None, tls_to_recipients=None, own_relay=declared)


def remote_vendor(settings: Settings) -> Settings:
    listed = vendors(settings, hosts=[{"host": "smtp.example.org", "port": 587}])
    return replace(listed, relays={"embedded": "smtp://smtp.example.org:587"})


def without(settings: Settings, path: str) -> None:
    (settings.home / path).unlink()


def spoiled(settings: Settings, path: str, old: str, new: str) -> None:
    file = settings.home / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def replaced_key(settings: Settings, name: str, content: bytes | None) -> None:
    file = settings.keyring / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)


REFUSALS: dict[str, tuple[Spoil, type[Exception], str]] = {
    "no agreement (SEC-20)": (
        lambda s: vendors(s, baa=None),
        VendorError,
        r"'embedded' has no business associate agreement.*until one is signed and entered",
    ),
    "agreement expired yesterday (SEC-20)": (
        lambda s: baa(s, expires=DAY - timedelta(days=1)),
        VendorError,
        r"SAMPLE-0001 with 'embedded' expired on 2025-06-01; renew it",
    ),
    "agreement begins tomorrow (SEC-20)": (
        lambda s: baa(s, signed=DAY + timedelta(days=1)),
        VendorError,
        r"in force from 2025-06-03 only",
    ),
    "a clause is lacking (SEC-21)": (
        lambda s: baa(s, clauses=["permitted_uses", "no_other_use"]),
        VendorError,
        r"lacks the clauses safeguards, .*; have them added and list them in vendors.yaml",
    ),
    "vendor suspended (SEC-23)": (
        lambda s: vendors(
            s,
            status=[
                {"state": "in_force", "since": DAY - timedelta(days=9)},
                {"state": "suspended", "since": DAY, "reason": "letters on a test server"},
            ],
        ),
        VendorError,
        r"'embedded' is suspended since 2025-06-02 \(letters on a test server\); nothing is sent",
    ),
    "vendor counts who opens letters": (
        lambda s: vendors(s, tracking={"opens": True, "clicks": False}),
        VendorError,
        r"not declared to leave letters untracked; have opens and clicks switched off there",
    ),
    "own relay in another's domain (SEC-24)": (
        lambda s: own_relay(s, "provider.example.org"),
        VendorError,
        r"declared as the practice's own in provider.example.org.* writes from prairie.example.org",
    ),
    "host not listed": (
        lambda s: replace(s, relays={"embedded": "smtp://127.0.0.1:587"}),
        VendorError,
        r"host '127.0.0.1' with port 587 is not listed for vendor 'embedded' in vendors.yaml;"
        r" listed: localhost",
    ),
    "no relay configured": (
        lambda s: replace(s, relays={}),
        ConfigurationError,
        r"no relay is configured for vendor 'embedded'; set REENGAGE_RELAY_URL_EMBEDDED to smtp",
    ),
    "relay in the clear": (
        lambda s: replace(s, relays={"embedded": "http://localhost:25"}),
        ConfigurationError,
        r"smtp",
    ),
    "pinned clock and a relay elsewhere": (
        remote_vendor,
        VendorError,
        r"clock is pinned \(REENGAGE_PINNED_NOW\).*on this machine; unset it",
    ),
    "wrapping key missing": (
        lambda s: replaced_key(s, "wrap/0001.key", None),
        KeyringError,
        r"wrap/0001.key is missing; restore it from the key backup",
    ),
    "pseudonym key too short": (
        lambda s: replaced_key(s, "pseudonym/0001.key", b"short"),
        KeyringError,
        r"pseudonym/0001.key holds 5 bytes, expected 32",
    ),
    "DKIM key missing": (
        lambda s: replaced_key(s, "dkim/0001.pem", None),
        KeyringError,
        r"dkim/0001.pem is missing; restore it from the key backup",
    ),
    "DKIM key unreadable": (
        lambda s: replaced_key(s, "dkim/0001.pem", b"no key"),
        KeyringError,
        r"dkim/0001.pem holds another key than the one that was made here",
    ),
    "template does not load": (
        lambda s: spoiled(s, "templates/health_education/es/body.mjml", "</mj-body>", ""),
        ConfigurationError,
        r"templates/health_education/es/body.mjml does not compile",
    ),
    "template part missing": (
        lambda s: without(s, "templates/health_education/es/body.txt"),
        ConfigurationError,
        r"templates/health_education/es/body.txt is missing",
    ),
    "suite is no JSON": (
        lambda s: spoiled(s, "expectations/letters.json", '"expectations": [', '"expectations": '),
        ConfigurationError,
        r"expectations/letters.json: ",
    ),
    "suite with an unknown expectation": (
        lambda s: spoiled(s, "expectations/batch.json", "_match_set", "_match_sett"),
        ConfigurationError,
        r"expectations/batch.json: expectation 1: .*; mend its type or kwargs",
    ),
    "practice.yaml missing": (
        lambda s: without(s, "practice.yaml"),
        ConfigurationError,
        r"practice.yaml:1: the file is missing; create it",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses_says_what_to_do_and_leaves_nothing(
    name: str, practice: Practice, hostile: HostileRelay
) -> None:
    spoil, error, message = REFUSALS[name]
    practice.settings = spoil(practice.settings) or practice.settings
    with pytest.raises(error) as refused:
        practice.open(CAMPAIGN)
    assert re.search(message, str(refused.value), re.DOTALL), str(refused.value)
    assert left_behind(practice) == (0, 0)
    assert hostile.connections == 0


@pytest.mark.parametrize(
    ("day", "mode"), [(DAY, "live"), (DAY - timedelta(days=1), "replay"), (None, "live")]
)
def test_the_mode_follows_from_the_day(practice: Practice, day: date | None, mode: str) -> None:
    run = practice.open(CAMPAIGN, day=day)
    assert (run.mode, run.day) == (mode, day or DAY)


def test_a_day_in_the_future_is_refused_in_words(practice: Practice) -> None:
    with pytest.raises(ConfigurationError, match=r"2025-06-03 is in the future .*name today or a"):
        practice.open(CAMPAIGN, day=DAY + timedelta(days=1))
    assert left_behind(practice) == (0, 0)


# --- the relay ---


def test_a_relay_that_is_down_is_refused_and_the_same_run_goes_on_once_it_is_up(
    practice: Practice, hostile: HostileRelay
) -> None:
    up, run_id = practice.settings, uuid4()
    practice.settings = replace(up, relays={"embedded": "smtp://localhost:1"})
    with pytest.raises(RelayError, match="localhost:1"):
        practice.open(CAMPAIGN, run_id=run_id)
    assert left_behind(practice) == (0, 0)
    practice.settings = up
    practice.open(CAMPAIGN, run_id=run_id)
    assert left_behind(practice) == (1, 1)
    assert hostile.letters == []


def test_an_own_relay_is_used_and_named_in_place_of_an_agreement(practice: Practice) -> None:
    """SEC-24: in the domain that the practice writes from."""
    practice.settings = own_relay(practice.settings, "prairie.example.org")
    practice.open(CAMPAIGN)
    [run] = practice.rows("SELECT vendor, baa_id FROM run")
    assert dict(run) == {"vendor": "embedded", "baa_id": "own-relay:embedded"}


@pytest.mark.parametrize(
    ("certificates", "extensions"),
    [
        (shown.wrong_name, ["STARTTLS"]),
        (shown.expired, ["STARTTLS"]),
        (shown.unknown_authority, ["STARTTLS"]),
        (shown.good, []),
    ],
    ids=["wrong name", "expired", "unknown authority", "no STARTTLS"],
)
def test_a_relay_without_verified_tls_is_refused(
    certificates: Callable[[Path], object],
    extensions: list[str],
    practice: Practice,
    tmp_path: Path,
) -> None:
    """EML-11, EML-12."""
    files = certificates(tmp_path / "other")
    with HostileRelay(files, extensions_before_tls=extensions) as relay:  # type: ignore[arg-type]
        practice.settings = replace(
            practice.settings, relays={"embedded": relay.url}, relay_trust=relay.certificates.ca
        )
        with pytest.raises(RelayError, match=f"localhost:{relay.port}"):
            practice.open(CAMPAIGN)
        assert relay.commands == []
    assert left_behind(practice) == (0, 0)


@pytest.mark.parametrize(
    "options", [{"dry": True}, {"day": DAY - timedelta(days=1)}], ids=["dry run", "replay"]
)
def test_a_dry_run_and_a_replay_never_open_a_connection(
    options: dict[str, object], practice: Practice, hostile: HostileRelay
) -> None:
    practice.world.patient("p1", appointment=None)
    practice.play(CAMPAIGN, **options)
    assert practice.states() == {"rehearsed": 1}
    assert hostile.connections == 0
    # Nor do they need a relay to be there at all.
    practice.settings = replace(practice.settings, relays={})
    practice.play(CAMPAIGN, **options)


# --- the campaign's day ---


def test_the_day_is_fixed_at_the_first_opening(practice: Practice) -> None:
    run = practice.open(CAMPAIGN)
    cleared = practice.at(NOW + timedelta(days=1)).open(CAMPAIGN, run_id=run.run_id)
    named = practice.open(CAMPAIGN, run_id=run.run_id, day=DAY - timedelta(days=5))
    assert [run.day, cleared.day, named.day] == [DAY, DAY, DAY]
    # What was today's is a past day now: a cleared run does not send a day late.
    assert cleared.mode == "replay"
    assert left_behind(practice) == (1, 1)


def test_a_refused_second_opening_leaves_the_first_as_it_was(practice: Practice) -> None:
    run = practice.open(CAMPAIGN)
    recorded = practice.rows("SELECT * FROM run")
    practice.settings = replace(practice.settings, relays={})
    with pytest.raises(ConfigurationError):
        practice.open(CAMPAIGN, run_id=run.run_id)
    assert practice.rows("SELECT * FROM run") == recorded
    assert run.keyring.has_data_key(run.run_id)


def test_a_keyring_that_is_not_the_stores_own_is_refused(
    practice: Practice, tmp_path: Path
) -> None:
    practice.open(CAMPAIGN, dry=True)
    other = tmp_path / "other"
    ensure_keyring(other)
    own, practice.settings = practice.settings, replace(practice.settings, keyring=other)
    with pytest.raises(KeyringError, match="the store was written with another keyring"):
        practice.open(CAMPAIGN, dry=True)
    assert len(practice.rows("SELECT 1 FROM run")) == 1
    assert list((other / "runs").iterdir()) == []
    practice.settings = own
    practice.open(CAMPAIGN, dry=True)


def test_a_key_that_cannot_be_made_leaves_no_run(practice: Practice) -> None:
    runs = practice.settings.keyring / "runs"
    runs.rmdir()
    runs.write_text("no directory")
    with pytest.raises(OSError, match="runs"):
        practice.open(CAMPAIGN)
    assert practice.rows("SELECT 1 FROM run") == []


@pytest.mark.parametrize(
    ("scheduled_for", "day"),
    [
        (datetime(2025, 6, 2, 15, 0, tzinfo=UTC), date(2025, 6, 2)),
        (datetime(2025, 6, 2, 5, 0, tzinfo=UTC), date(2025, 6, 2)),  # midnight in Chicago
        (datetime(2025, 6, 2, 4, 59, 59, tzinfo=UTC), date(2025, 6, 1)),
        (datetime(2025, 1, 15, 5, 59, 59, tzinfo=UTC), date(2025, 1, 14)),  # winter time
    ],
)
def test_a_scheduled_run_is_for_the_local_day_it_was_scheduled_for(
    scheduled_for: datetime, day: date, practice: Practice
) -> None:
    approve_all(practice.settings, CAMPAIGN)
    run = preflight(
        practice.settings, CAMPAIGN, uuid4(), "scheduled__test", scheduled_for=scheduled_for
    )
    assert run.day == day


def test_today_is_the_campaigns_local_day(practice: Practice) -> None:
    late = practice.at(datetime(2025, 6, 3, 4, 30, tzinfo=UTC))  # still the 2nd in Chicago
    assert late.open(CAMPAIGN).day == DAY


def test_a_named_day_counts_before_the_schedule(practice: Practice) -> None:
    approve_all(practice.settings, CAMPAIGN)
    run = preflight(
        practice.settings, CAMPAIGN, uuid4(), "m", day=DAY, scheduled_for=NOW - timedelta(days=9)
    )
    assert run.day == DAY


def test_a_relay_that_has_no_time_is_one_for_later(
    ready_practice: Practice, relay: HostileRelay
) -> None:
    before = left_behind(ready_practice)
    relay.script = {"connect": "421 4.3.2 too many connections"}
    with pytest.raises(RelayBusyError, match="answered with 421 instead of 220"):
        ready_practice.open(CAMPAIGN)
    assert left_behind(ready_practice) == before


def test_another_runs_connections_are_counted_before_the_relay_is_asked(
    ready_practice: Practice, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = Rate(connections=1)
    monkeypatch.setattr(Vendor, "rate", property(lambda _: limited), raising=False)
    vendor = load_vendors(ready_practice.settings.vendors_path)["embedded"]
    with create_engine(ready_practice.settings.store_url).connect() as other:
        assert pacing.take_slot(other, vendor) == 1
        with pytest.raises(RelayBusyError, match="the 1 connections that relay 'embedded' allows"):
            ready_practice.open(CAMPAIGN)
        assert relay.connections == 0
        pacing.give_slot(other, vendor, 1)
        ready_practice.open(CAMPAIGN)
        assert relay.connections == 1
        assert pacing.take_slot(other, vendor) == 1  # it gave its own back


def test_a_relay_that_has_no_time_is_asked_again_on_the_campaigns_day_only(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = practice.settings
    assert when_to_ask_again(pinned, CAMPAIGN) is None
    midnight = datetime(2025, 6, 3, 5, tzinfo=UTC)  # in Chicago
    for minutes, expected in ((6, midnight - timedelta(minutes=1)), (5, None)):
        now = midnight - timedelta(minutes=minutes)
        monkeypatch.setattr(Settings, "now", lambda _, now=now: now)
        assert when_to_ask_again(replace(pinned, pinned_now=None), CAMPAIGN) == expected
