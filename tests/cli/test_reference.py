"""The reference pages say what the code says, and stop where it says nothing."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest
from reengage import settings
from reengage.campaigns import Campaign
from reengage.cli.main import parser
from reengage.cli.reference import commands_markdown, settings_markdown
from reengage.cli.reference_campaign import campaign_markdown
from reengage.errors import ConfigurationError
from reengage.settings import HOME


def test_every_setting_is_described_with_what_holds_without_it() -> None:
    page = settings_markdown()
    for name in settings.NAMES:
        (row,) = [line for line in page.splitlines() if f"`REENGAGE_{name}`" in line]
        assert all(cell.strip() for cell in row.split("|")[1:4])


def test_the_secret_ones_are_marked_and_no_others() -> None:
    marked = {line.split("`")[1] for line in settings_markdown().splitlines() if "` **s**" in line}
    assert {
        "REENGAGE_STORE_URL",
        "REENGAGE_MIRROR_TOKEN",
        "REENGAGE_WEBHOOK_SECRET_<VENDOR>",
    } <= marked
    assert not {"REENGAGE_HOME", "REENGAGE_KEYRING", "REENGAGE_ACTOR"} & marked


def test_what_the_portal_reads_is_marked_and_no_more() -> None:
    read = {line.split("`")[1] for line in settings_markdown().splitlines() if "| yes |" in line}
    names = ("HOME", "STORE_URL", "KEYRING", "KEY_SERVICE", "JOURNAL", "PINNED_NOW")
    assert read == {f"REENGAGE_{name}" for name in names}


def test_a_setting_without_words_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "NAMES", (*settings.NAMES, "NEW_ONE"))
    with pytest.raises(
        ConfigurationError, match="settings new_one are not both a name and a field"
    ):
        settings_markdown()


def test_a_setting_that_does_not_say_what_holds_without_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclass(frozen=True)
    class Fewer:
        home: Path
        """Root of the project."""

    monkeypatch.setattr(settings, "NAMES", ("HOME",))
    monkeypatch.setattr(settings, "Settings", Fewer)
    monkeypatch.setattr("reengage.cli.reference._OF_VENDORS", {})
    with pytest.raises(ConfigurationError, match="setting home does not say"):
        settings_markdown()


def test_every_argument_of_every_command_is_described() -> None:
    page = commands_markdown(HOME, parser())
    for option in ("`--campaign SLUG`", "`--because BECAUSE` **needed**", "`-n LINES`, `--lines"):
        assert option in page
    assert "## opt-out" in page
    assert "## opt_out" not in page  # the alias
    assert "### ledger check-proof" in page


def test_an_argument_without_words_is_told() -> None:
    bare = argparse.ArgumentParser(description="It.\n\nDoes.")
    command = bare.add_subparsers().add_parser("do", help="it")
    command.add_argument("--quickly", action="store_true")
    with pytest.raises(ConfigurationError, match="argument `--quickly` of a command has no help"):
        commands_markdown(HOME, bare)


def test_a_command_without_words_is_told() -> None:
    bare = argparse.ArgumentParser(description="It.\n\nDoes.")
    bare.add_subparsers().add_parser("do", help="")
    with pytest.raises(ConfigurationError, match="command do has no help"):
        commands_markdown(HOME, bare)


def test_a_campaigns_keys_are_told_with_what_they_may_be() -> None:
    page = campaign_markdown()
    for row in (
        "| `holdout_share` | share of eligible patients not written to, for comparison |"
        " number, from 0, up to 0.5 | **needed** |",
        "| `fields.<name>.as` | how it is written | `text`, `date`, `time` | `text` |",
        "| `paid` | whether a third party pays for it; then it is marketing | `true` or `false` |"
        " `false` |",
    ):
        assert row in page
    assert [name for name in Campaign.model_fields if f"| `{name}` |" not in page] == []


def test_what_is_not_for_people_is_on_no_page() -> None:
    bare = argparse.ArgumentParser(description="It.\n\nDoes.")
    command = bare.add_subparsers().add_parser("do", help="it")
    command.add_argument("--within", help=argparse.SUPPRESS)
    command.add_argument("--more", action="append", default=[], help="things")
    page = commands_markdown(HOME, bare)
    assert "| `--more MORE` | things |" in page
    assert "--within" not in page
