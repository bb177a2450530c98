"""Variants: which of a campaign's two templates a patient is written to with.

Drawn by a keyed hash of experiment and patient, like the holdout: fixed for as long as the
experiment has its name, predictable by nobody. A person may have ended it (`experiment stop`): then
everybody gets the variant that was kept, whatever the campaign's file says. A letter is composed in
the variant that its follow-up was drawn with.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from reengage.pipeline.run import Run


@dataclass(frozen=True)
class Drawing:
    """How a run draws."""

    run: Run
    kept: str | None
    """The variant that a person kept; None = the experiment goes on, or there is none."""

    @property
    def experiment(self) -> str | None:
        """The experiment that new follow-ups belong to."""
        variants = self.run.campaign.variants
        return variants.experiment if variants and self.kept is None else None

    def draw(self, patient: str) -> str | None:
        """The patient's variant; None where the campaign has one template."""
        variants = self.run.campaign.variants
        if variants is None or self.kept is not None:
            return self.kept
        label = f"variant/{self.run.campaign.slug}/{variants.experiment}"
        share = int(self.run.keyring.pseudonym(label, patient)[:13], 16) / 16**13
        (first, weight), (second, other) = sorted(variants.weights.items())
        return first if share < weight / (weight + other) else second

    def of(self, connection: Connection, patients: Collection[str]) -> dict[str, str | None]:
        """Patient -> variant, as the newest follow-up was drawn, else as it would be now."""
        drawn = {patient: self.draw(patient) for patient in patients}
        variants = self.run.campaign.variants
        if variants is None or self.run.mode != "live":
            return drawn
        found = connection.execute(
            text(
                "SELECT DISTINCT ON (patient) patient, variant FROM follow_up"
                " WHERE campaign = :campaign AND experiment = :experiment"
                " AND campaign_date = :day AND patient = ANY(CAST(:patients AS text[]))"
                " ORDER BY patient, follow_up_id DESC"
            ),
            {
                "campaign": self.run.campaign.slug,
                "experiment": variants.experiment,
                "day": self.run.day,
                "patients": list(patients),
            },
        )
        known = {row.patient: row.variant for row in found if row.variant in variants.weights}
        return drawn | known


def variants_of(connection: Connection, run: Run) -> Drawing:
    """How this run draws, as of now."""
    variants = run.campaign.variants
    if variants is None:
        return Drawing(run, None)
    kept = connection.execute(
        text(
            "SELECT kept FROM experiment_stop"
            " WHERE campaign = :campaign AND experiment = :experiment"
        ),
        {"campaign": run.campaign.slug, "experiment": variants.experiment},
    ).scalar_one_or_none()
    return Drawing(run, kept if kept in variants.weights else None)
