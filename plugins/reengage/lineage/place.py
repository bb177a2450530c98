"""Place: a campaign in its project, and the datasets that its tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reengage.campaigns import Campaign
from reengage.contract import Contract
from reengage.lineage import tables
from reengage.lineage.building import (
    STORE,
    WAREHOUSE,
    Dataset,
    Source,
    file,
    owners_of,
    table,
    view,
)  # fmt: skip
from reengage.lineage.columns import staged
from reengage.lineage.statements import asked
from reengage.lineage.tables import Field, Table

ADDRESSING = ("patient_key", "recipient", "language", "time_zone")
"""What is sealed with a letter besides its message."""

_FILES: Mapping[str, str] = {
    "campaigns": "The campaign's file.",
    "vendors.yaml": "Who may deliver, under which agreement.",
    "practice.yaml": "The practice that writes.",
    "jurisdictions.yaml": "What counsel decided about sensitive categories.",
    "templates": "What the letters say.",
    "expectations": "A Great Expectations suite.",
    "sql": "Whom the campaign asks for.",
}


@dataclass(frozen=True)
class Place:
    """A campaign in its project."""

    campaign: Campaign
    contract: Contract
    home: Path

    def name(self, part: str) -> str:
        """Name of a dataset of the campaign's own."""
        return f"{self.campaign.slug}/{part}"

    def views(self, task: str) -> list[Dataset]:
        """The contract's views that the task reads, each with the columns that it reads."""
        read = asked(task, self.campaign, self.contract, self.home)
        owners = owners_of(self.home)
        found = []
        for one in self.contract.views:
            columns = [c.name for c in one.columns if f"{one.name}.{c.name}" in read]
            if columns:
                found.append(view(self.contract, one.name, columns, owners))
        return found

    def own(self, part: str, what: Table, **facets: Any) -> Dataset:
        """A dataset of the campaign's own, tagged with the campaign's class."""
        tags = [("campaign_class", self.campaign.purpose)]
        return table(self.name(part), what, tags=tags, **facets)

    def batch(self, **facets: Any) -> Dataset:
        """The staged rows."""
        columns = staged(self.campaign, self.contract)
        fields = [Field(name, one.type, one.description) for name, one in columns.items()]
        what = Table("Eligible patients with exactly the declared fields, sealed.", tuple(fields))
        return self.own("batch", what, **facets)

    def letters(self, **facets: Any) -> Dataset:
        """The finished letters."""
        body = tuple(
            Field(name, "text", f"read from contract.{rule.from_}")
            for name, rule in self.campaign.fields.items()
        )
        sealed = tuple(Field(name, "text", "how it is addressed") for name in ADDRESSING)
        content = Field(
            "sealed",
            "bytea",
            "whom it is for, and the finished message",
            (*sealed, Field("body", "text", "what the letter tells of the patient", body)),
        )
        what = Table("Finished letters, sealed.", (*tables.LETTER, content))
        return self.own("letters", what, **facets)

    def facts(
        self, part: str, description: str, fields: tuple[Field, ...], namespace: str = WAREHOUSE
    ) -> Dataset:
        """What a suite looks at in place of the rows themselves."""
        what = Table(description, fields)
        return table(self.name(part), what, kind="JOB_OUTPUT", namespace=namespace)

    def source(self, part: str, column: str) -> Source:
        """A column of a dataset of the campaign's own."""
        return Source(STORE, self.name(part), column)

    def files(self, *paths: str) -> list[Dataset]:
        """Files of the project."""
        return [file(path, _FILES.get(path.partition("/")[0], "A file.")) for path in paths]

    @property
    def campaign_file(self) -> str:
        """The campaign's own."""
        return f"campaigns/{self.campaign.slug}.yaml"

    @property
    def template(self) -> str:
        """Folder of the campaign's template."""
        return f"templates/{self.campaign.template}"
