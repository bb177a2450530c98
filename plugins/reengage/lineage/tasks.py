"""Tasks: what flows through each task of a campaign's DAG, one function a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reengage.errors import ConfigurationError
from reengage.lineage import tables
from reengage.lineage.base import facet
from reengage.lineage.building import STORE, Dataset, Source, lineage, table
from reengage.lineage.columns import EVIDENCE, PASSED_ON_ONLY, PATIENT_KEY, about, staged
from reengage.lineage.place import ADDRESSING, Place
from reengage.lineage.statements import asked, deciding, facts_of_the_gate

_OWN_STANDING = (
    ("opt_out", ("patient", "campaign")),
    ("revocation", ("patient", "purpose", "revoked_at")),
    ("suppression", ("recipient", "patient", "purpose", "expires_at", "lifted_at")),
)
"""What our own store knows against writing to somebody."""


@dataclass(frozen=True)
class Flow:
    """What goes into a task and comes out of it."""

    inputs: list[Dataset]
    outputs: list[Dataset]
    suites: Mapping[str, str] = field(default_factory=dict)


def flows_of(task: str) -> Callable[[Place], Flow]:
    """What describes the task. Raises ConfigurationError for one that no campaign has."""
    if task not in _FLOWS:
        raise ConfigurationError(
            f"nobody has said what task {task!r} reads and writes; add it to reengage/lineage/"
            f"tasks.py, which knows {', '.join(_FLOWS)}"
        )
    return _FLOWS[task]


def shared() -> list[Dataset]:
    """What our own store knows against writing to somebody, whichever the campaign."""
    return [table(name, tables.SHARED[name]) for name, _ in _OWN_STANDING]


def own_standing() -> list[Source]:
    """The columns of it that are asked."""
    return [Source(STORE, name, column) for name, columns in _OWN_STANDING for column in columns]


def _preflight(here: Place) -> Flow:
    suites = [f"expectations/{name}.json" for name in here.campaign.suites.names()]
    paths = [
        here.campaign_file, "vendors.yaml", "practice.yaml", "jurisdictions.yaml", here.template,
        f"sql/extract/{here.campaign.audience}", *suites,
    ]  # fmt: skip
    return Flow(here.files(*paths), [here.own("run", tables.RUN)])


def _extract(here: Place) -> Flow:
    campaign, contract = here.campaign, here.contract
    decided = deciding(campaign, contract, here.home) - PASSED_ON_ONLY
    own = [*own_standing(), here.source("outbox", "patient"), here.source("outbox", "state")]
    against = [Source.contract(column).indirect() for column in sorted(decided)]
    against += [source.indirect("FILTER") for source in own]
    batch = {
        name: [Source.contract(c).direct(one.how, masking=True) for c in one.sources]
        for name, one in staged(campaign, contract).items()
    }
    evidence = [*EVIDENCE, *about(campaign)]
    decision = {
        "patient": [Source.contract(PATIENT_KEY).direct("TRANSFORMATION", masking=True)],
        "sealed": [Source.contract(c).direct("TRANSFORMATION", masking=True) for c in evidence],
    }
    return Flow(
        [
            *here.views("extract"),
            *shared(),
            here.own("outbox", tables.OUTBOX),
            *here.files(
                here.campaign_file, f"sql/extract/{campaign.audience}", "jurisdictions.yaml"
            ),
        ],
        [
            here.batch(
                columnLineage=lineage(batch, against),
                lifecycleStateChange=facet(
                    "lifecycleStateChange", lifecycleStateChange="OVERWRITE"
                ),
            ),
            here.own("decision", tables.DECISION, columnLineage=lineage(decision, against)),
            *_remembered(),
            here.own("run", tables.RUN),
        ],
    )


def _remembered() -> list[Dataset]:
    """Refusals that the warehouse told of."""

    def masked(column: str) -> list[dict[str, Any]]:
        return [Source.contract(column).direct("TRANSFORMATION", masking=True)]

    def plain(column: str) -> list[dict[str, Any]]:
        return [Source.contract(column).direct(masking=False)]

    rows = [Source.contract("load.drawn").indirect("FILTER")]
    revocation = {
        "patient": masked("authorization.patient_key"),
        "purpose": plain("authorization.purpose"),
        "revoked_at": plain("authorization.revoked_at"),
    }
    opt_out = {
        "patient": masked("opt_out.patient_key"),
        "campaign": plain("opt_out.campaign"),
        "at": plain("opt_out.at"),
    }
    return [
        table("revocation", tables.SHARED["revocation"], columnLineage=lineage(revocation, rows)),
        table("opt_out", tables.SHARED["opt_out"], columnLineage=lineage(opt_out, rows)),
    ]


def _gate(here: Place) -> Flow:
    suites, facts = here.campaign.suites, facts_of_the_gate(here.home)
    checked = [
        here.facts("gate.cohort", "What the sources say of everyone staged.", facts["cohort"]),
        here.facts("gate.source", "How fresh and how large the source is.", facts["source"]),
    ]
    looked_at = {
        suites.batch: here.name("batch"),
        suites.cohort: here.name("gate.cohort"),
        suites.source: here.name("gate.source"),
    }
    if suites.audience:
        looked_at[suites.audience] = here.name("gate.audience")
        counts = "Whom the gate would ask for and allow, counted by SQL of its own."
        checked.append(here.facts("gate.audience", counts, tables.AUDIENCE))
    files = here.files(*(f"expectations/{name}.json" for name in looked_at))
    return Flow(
        [here.batch(), *checked, *here.views("gate"), *files],
        [here.own("run", tables.RUN)],
        looked_at,
    )


def _plan(here: Place) -> Flow:
    decision = here.own("decision", tables.DECISION)
    inputs = [here.batch(), decision, here.own("run", tables.RUN), here.letters()]
    arm = {"arm": [here.source("decision", "patient").direct("TRANSFORMATION", masking=False)]}
    followed = {
        "patient": [here.source("batch", "patient_key").direct("TRANSFORMATION", masking=True)],
        "period": [here.source("batch", "period_key").direct(masking=False)],
        "arm": arm["arm"],
    }
    return Flow(
        [*inputs, *here.files(here.campaign_file)],
        [
            here.own("decision", tables.DECISION, columnLineage=lineage(arm)),
            here.own("followed", tables.FOLLOWED, columnLineage=lineage(followed)),
        ],
    )


def _letter(here: Place) -> Flow:
    def of(column: str, how: str = "IDENTITY", *, masking: bool = True) -> list[dict[str, Any]]:
        return [here.source("batch", column).direct(how, masking=masking)]

    fields = {
        "patient": of("patient_key", "TRANSFORMATION"),
        "period": of("period_key", masking=False),
        "expires_at": of("expires_at", masking=False),
        "authorization_id": of("authorization_key", "TRANSFORMATION"),
        "message_id": of("patient_key", "TRANSFORMATION") + of("period_key", "TRANSFORMATION"),
        "seal": of("certificate", "TRANSFORMATION", masking=False)
        + of("reads_authenticated", "TRANSFORMATION", masking=False),
        **{f"sealed.{name}": of(name) for name in ADDRESSING},
        **{
            f"sealed.body.{name}": of(rule.from_, "TRANSFORMATION")
            for name, rule in here.campaign.fields.items()
        },
    }
    deciding = [
        here.source("decision", "arm").indirect("FILTER"),
        here.source("batch", "language").indirect("CONDITIONAL"),
    ]
    files = here.files(here.template, "practice.yaml")
    return Flow(
        [here.batch(), here.own("decision", tables.DECISION), *files],
        [here.letters(columnLineage=lineage(fields, deciding))],
    )


def _check_letters(here: Place) -> Flow:
    suite, name = here.campaign.suites.letters, "letters.facts"
    facts = here.facts(
        name, "Numbers and yes/no about each finished letter.", tables.LETTER_FACTS, STORE
    )
    files = here.files(f"expectations/{suite}.json", here.template)
    marked = {"checked_at": [here.source("letters", "sealed").indirect("FILTER")]}
    return Flow(
        [here.letters(), facts, *files],
        [here.letters(columnLineage=lineage(marked))],
        {suite: here.name(name)},
    )


def _send(here: Place) -> Flow:
    read = asked("send", here.campaign, here.contract, here.home) - PASSED_ON_ONLY
    against = [Source.contract(column).indirect() for column in sorted(read)]
    against += [source.indirect("FILTER") for source in own_standing()]
    against += [
        here.source("letters", name).indirect("FILTER") for name in ("expires_at", "checked_at")
    ]

    def of(column: str, how: str = "IDENTITY", *, masking: bool = False) -> list[dict[str, Any]]:
        return [here.source("letters", column).direct(how, masking=masking)]

    outbox = {name: of(name) for name in ("letter_id", "patient", "campaign_date")}
    portal = {name: of(name) for name in ("letter_id", "patient")}
    disclosures = {
        "letter": of("letter_id"),
        "patient": of("patient"),
        "recipient": of("sealed.recipient", "TRANSFORMATION", masking=True),
        "authorization": of("authorization_id"),
    }
    return Flow(
        [here.letters(), *here.views("send"), *shared(), *here.files("vendors.yaml")],
        [
            here.own("outbox", tables.OUTBOX, columnLineage=lineage(outbox, against)),
            here.own("disclosures", tables.DISCLOSURES, columnLineage=lineage(disclosures)),
            here.own("portal", tables.PORTAL, columnLineage=lineage(portal)),
        ],
    )


def _settle(here: Place) -> Flow:
    return Flow(
        [here.own("outbox", tables.OUTBOX), here.own("decision", tables.DECISION)],
        [here.own("run", tables.RUN)],
    )


def _shred(here: Place) -> Flow:
    gone = facet("lifecycleStateChange", lifecycleStateChange="DROP")
    return Flow(
        [here.own("outbox", tables.OUTBOX), here.own("run", tables.RUN)],
        [here.batch(lifecycleStateChange=gone), here.own("run", tables.RUN)],
    )


_FLOWS: Mapping[str, Callable[[Place], Flow]] = {
    "preflight": _preflight,
    "extract": _extract,
    "gate": _gate,
    "plan": _plan,
    "letter": _letter,
    "check_letters": _check_letters,
    "send": _send,
    "settle": _settle,
    "shred": _shred,
}
