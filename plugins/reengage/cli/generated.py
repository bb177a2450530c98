"""The files that are made from code, and what they must hold; `make lint` compares them."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from reengage.campaigns import schema_json
from reengage.cli.compliance import compliance_markdown
from reengage.cli.dependencies import dependencies_markdown
from reengage.cli.reference import commands_markdown, settings_markdown
from reengage.cli.reference_campaign import campaign_markdown
from reengage.contract import load_contract, render_markdown
from reengage.portal.pages import PINNED, pinned_content
from reengage.retention.page import pages as retention_pages


def files(home: Path, parser: ArgumentParser) -> dict[Path, str]:
    """Every such file with its content; `parser` is the command line's."""
    reference = home / "docs" / "reference"
    found = {
        home / "campaigns" / "campaign.schema.json": schema_json(),
        home / "docs" / "warehouse-contract.md": render_markdown(load_contract(home)),
        home / "docs" / "compliance.md": compliance_markdown(home),
        reference / "settings.md": settings_markdown(),
        reference / "campaign-file.md": campaign_markdown(),
    }
    found |= retention_pages(home)
    if (home / "requirements.in").is_file():  # a copied home has no lock
        found[home / "docs" / "dependencies.md"] = dependencies_markdown(home)
    if (home / "Makefile").is_file():  # a copied home has none, and no library either
        found[reference / "commands.md"] = commands_markdown(home, parser)
    pages = home / "plugins" / "reengage" / "portal" / "page"
    if pages.is_dir():
        found[pages / PINNED] = pinned_content()
    return found
