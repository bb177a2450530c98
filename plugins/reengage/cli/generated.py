"""The files that are made from code, and what they must hold; `make lint` compares them."""

from __future__ import annotations

import re
from pathlib import Path

from reengage.campaigns import reference_markdown, schema_json
from reengage.cli.compliance import compliance_markdown
from reengage.cli.dependencies import dependencies_markdown
from reengage.contract import load_contract, render_markdown
from reengage.errors import ConfigurationError
from reengage.portal.pages import PINNED, pinned_content
from reengage.retention.page import pages as retention_pages

_TABLE = re.compile(r"(<!-- made by `make fix` -->\n).*?(<!-- end -->)", re.DOTALL)


def files(home: Path) -> dict[Path, str]:
    """Every such file with its content."""
    campaigns = home / "docs" / "campaigns.md"
    prose = campaigns.read_text(encoding="utf-8") if campaigns.is_file() else ""
    if not _TABLE.search(prose):
        raise ConfigurationError("docs/campaigns.md has lost its table's marks; restore the file")
    found = {
        home / "campaigns" / "campaign.schema.json": schema_json(),
        home / "docs" / "warehouse-contract.md": render_markdown(load_contract(home)),
        home / "docs" / "compliance.md": compliance_markdown(home),
        campaigns: _TABLE.sub(lambda found: found[1] + reference_markdown() + found[2], prose),
    }
    found |= retention_pages(home)
    if (home / "requirements.in").is_file():  # a copied home has no lock
        found[home / "docs" / "dependencies.md"] = dependencies_markdown(home)
    pages = home / "plugins" / "reengage" / "portal" / "page"
    if pages.is_dir():  # a copied home has no library
        found[pages / PINNED] = pinned_content()
    return found
