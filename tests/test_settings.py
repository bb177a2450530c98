"""Settings: read whole from the environment, or refused with the name of what is at fault."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest
from reengage import settings
from reengage.errors import ConfigurationError
from reengage.settings import read_settings

NEEDED = {
    "REENGAGE_WAREHOUSE_URL": "postgresql+psycopg://reader:canary@/warehouse",
    "REENGAGE_STORE_URL": "postgresql+psycopg://writer:canary@/store",
    "REENGAGE_KEYRING": "/etc/reengage/keys",
}


def test_the_least_is_enough_and_the_rest_has_no_surprise() -> None:
    found = read_settings(NEEDED)
    assert found.home == settings.HOME
    assert found.keyring == Path("/etc/reengage/keys")
    assert found.vendors_path == settings.HOME / "vendors.yaml"
    assert dict(found.relays) == {}
    assert found.journal_path == Path("/etc/reengage/keys/refusals.jsonl")
    assert (found.relay_trust, found.rehearsal_maildir, found.pinned_now) == (None, None, None)
    assert (found.mirror_url, found.mirror_token, found.actor) == (None, None, None)
    assert (found.actor_required, found.services_trust) == (False, None)
    assert found.checkpoints_location == "/etc/reengage/keys/checkpoints"


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_setting_is_named(name: str, value: str | None) -> None:
    env = {key: found for key, found in NEEDED.items() if key != name}
    if value is not None:
        env[name] = value
    with pytest.raises(ConfigurationError, match=f"setting {name} is missing; set it in the"):
        read_settings(env)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REENGAGE_RELAY_TURST", "REENGAGE_RELAY_TRUST"),
        ("REENGAGE_PINNEDNOW", "REENGAGE_PINNED_NOW"),
        ("REENGAGE_JOURNALS", "REENGAGE_JOURNAL"),
        ("REENGAGE_VENDOR_FILE", "REENGAGE_VENDORS_FILE"),
        ("REENGAGE_RELAY_URLS", "REENGAGE_RELAY_URL_"),
        ("REENGAGE_MIROR_URL", "REENGAGE_MIRROR_URL"),
        ("REENGAGE_CHECKPOINT", "REENGAGE_CHECKPOINTS"),
    ],
)
def test_a_misspelt_setting_is_refused_rather_than_ignored(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is unknown, did you mean {meant}"):
        read_settings({**NEEDED, name: "x"})


def test_a_variable_of_another_purpose_is_left_alone() -> None:
    assert read_settings({**NEEDED, "REENGAGE_SHARED": "x", "OTHER": "y"})


def test_every_setting_is_known_by_its_name() -> None:
    fields = {field.name for field in dataclasses.fields(settings.Settings)} - {
        "relays",
        "webhook_secrets",
    }
    assert {name.lower() for name in settings.NAMES} == fields


@pytest.mark.parametrize(("value", "holds"), [("true", True), ("", False)])
def test_a_name_is_required_where_it_says_so(value: str, holds: bool) -> None:
    assert read_settings({**NEEDED, "REENGAGE_ACTOR_REQUIRED": value}).actor_required is holds


@pytest.mark.parametrize("value", ["false", "0", "True", "yes"])
def test_what_might_be_meant_as_a_no_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="write true, or leave it out"):
        read_settings({**NEEDED, "REENGAGE_ACTOR_REQUIRED": value})


def test_passwords_do_not_show() -> None:
    found = read_settings({**NEEDED, "REENGAGE_RELAY_URL_ACME": "smtp://u:canary@h:587"})
    assert "canary" not in repr(found)
    assert "canary" not in str(found)


def test_a_relay_is_called_by_its_vendors_name() -> None:
    relays = {"REENGAGE_RELAY_URL_ACME_MAIL": "smtps://h:465", "REENGAGE_RELAY_URL_NONE": ""}
    assert dict(read_settings(NEEDED | relays).relays) == {"acme_mail": "smtps://h:465"}


@pytest.mark.parametrize("below", ["keys", "var/keys", "."])
def test_keys_below_the_project_are_refused(tmp_path: Path, below: str) -> None:
    env = {**NEEDED, "REENGAGE_HOME": str(tmp_path), "REENGAGE_KEYRING": str(tmp_path / below)}
    with pytest.raises(ConfigurationError, match=r"REENGAGE_KEYRING lies below .*keep them"):
        read_settings(env)


def test_paths_are_as_set(tmp_path: Path) -> None:
    paths = {
        "REENGAGE_HOME": str(tmp_path),
        "REENGAGE_RELAY_TRUST": "/etc/ca.pem",
        "REENGAGE_REHEARSAL_MAILDIR": "/srv/mail",
        "REENGAGE_VENDORS_FILE": "/etc/vendors.yaml",
        "REENGAGE_JOURNAL": "/srv/journal/refusals.jsonl",
    }
    found = read_settings(NEEDED | paths)
    assert found.home == tmp_path
    assert found.relay_trust == Path("/etc/ca.pem")
    assert found.rehearsal_maildir == Path("/srv/mail")
    assert found.vendors_path == Path("/etc/vendors.yaml")
    assert found.journal_path == Path("/srv/journal/refusals.jsonl")
    assert settings.journal_path(found.keyring, paths) == found.journal_path


def test_a_journal_that_depends_on_where_one_stands_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="REENGAGE_JOURNAL is no whole path"):
        read_settings({**NEEDED, "REENGAGE_JOURNAL": "var/refusals.jsonl"})


def test_where_the_checkpoints_lie_is_as_set() -> None:
    env = {**NEEDED, "REENGAGE_CHECKPOINTS": "s3://bucket/ledger"}
    found = read_settings(env)
    assert found.checkpoints_location == "s3://bucket/ledger"
    assert settings.checkpoints_location(found.keyring, env) == "s3://bucket/ledger"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://lineage.example.org/", "https://lineage.example.org"),
        ("https://lineage.example.org:5000/in/", "https://lineage.example.org:5000/in"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://127.0.0.2:5000", "http://127.0.0.2:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("", None),
    ],
)
def test_a_mirror_is_reached_over_https_or_on_this_machine(url: str, found: str | None) -> None:
    assert read_settings({**NEEDED, "REENGAGE_MIRROR_URL": url}).mirror_url == found


@pytest.mark.parametrize(
    "url",
    [
        "http://lineage.example.org", "http://10.0.0.1:5000", "http://localhost.example.org",
        "ftp://localhost", "lineage.example.org", "https://", "https://user:canary@h",
        "https://h/?api_key=canary", "https://h:port", "https://[h", "https://h/#canary",
    ],
)  # fmt: skip
def test_a_mirror_that_others_could_listen_to_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MIRROR_URL is no address") as refused:
        read_settings({**NEEDED, "REENGAGE_MIRROR_URL": url})
    assert "canary" not in str(refused.value)


def test_a_mirrors_token_is_one_word_and_does_not_show() -> None:
    env = {**NEEDED, "REENGAGE_MIRROR_URL": "https://h", "REENGAGE_MIRROR_TOKEN": "canary.1=="}
    assert read_settings(env).mirror_token == "canary.1=="
    assert "canary" not in repr(read_settings(env))
    with pytest.raises(ConfigurationError, match="MIRROR_TOKEN is no bearer token") as refused:
        read_settings({**env, "REENGAGE_MIRROR_TOKEN": "canary\r\nX: y"})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-06-01T15:00:00+00:00", datetime(2026, 6, 1, 15, tzinfo=UTC)),
        ("2026-06-01T10:00:00-05:00", datetime(2026, 6, 1, 15, tzinfo=UTC)),
        ("2026-06-01T15:00:00Z", datetime(2026, 6, 1, 15, tzinfo=UTC)),
    ],
)
def test_a_pinned_clock_is_an_instant(value: str, instant: datetime) -> None:
    found = read_settings({**NEEDED, "REENGAGE_PINNED_NOW": value})
    assert found.now() == instant
    assert found.now().tzinfo is UTC


@pytest.mark.parametrize("value", ["2026-06-01", "2026-06-01T15:00:00", "noon", "1780000000"])
def test_a_pinned_clock_that_is_no_instant_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PINNED_NOW is no ISO 8601 instant.*2026"):
        read_settings({**NEEDED, "REENGAGE_PINNED_NOW": value})


def test_without_a_pin_the_clock_is_the_machines() -> None:
    before = datetime.now(UTC)
    assert before <= read_settings(NEEDED).now() <= datetime.now(UTC)


def test_settings_cannot_be_changed_after_reading() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings(NEEDED).store_url = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "address",
    [
        "vault+https://vault.example.org:8200/transit/reengage/",
        "vault+https://vault.example.org/org/transit/reengage",
        "vault+http://127.0.0.1:8200/transit/reengage",
        "aws-kms:alias/reengage",
        "aws-kms:arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab",
    ],
)
def test_a_key_service_is_named_by_its_address(address: str) -> None:
    found = read_settings({**NEEDED, "REENGAGE_KEY_SERVICE": address})
    assert found.key_service == address.rstrip("/")
    assert read_settings({**NEEDED, "REENGAGE_KEY_SERVICE": ""}).key_service is None


@pytest.mark.parametrize(
    "address",
    [
        "vault+http://vault.example.org:8200/transit/reengage",
        "vault+https://user:canary@vault.example.org/transit/reengage",
        "vault+https://vault.example.org/transit/reengage?token=canary",
        "vault+https://vault.example.org/transit/reengage#canary",
        "vault+https://vault.example.org/reengage",
        "vault+https:///transit/reengage",
        "vault+https://vault.example.org:x/transit/reengage",
        "vault+https://vault.example.org/transit/../reengage canary",
        "https://vault.example.org/transit/reengage",
        "aws-kms:",
        "aws-kms:key canary",
        "file",
    ],
)
def test_a_key_service_with_a_secret_or_without_tls_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"REENGAGE_KEY_SERVICE is no key") as error:
        read_settings({**NEEDED, "REENGAGE_KEY_SERVICE": address})
    assert "canary" not in str(error.value)
