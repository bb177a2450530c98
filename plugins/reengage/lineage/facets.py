"""Facets of our own: what the specification has no words for, with a published schema each.

Named as OpenLineage asks: key `reengage_<name>`, class `Reengage<Name>RunFacet`; the schemas are in
docs/schemas and never change: another shape is another version (OLN-05, OLN-06). Counts, codes,
names of columns and digests only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reengage.lineage.base import Facet, own_facet

CONSENT_GATE = "reengage_consentGate"
MINIMUM_NECESSARY = "reengage_minimumNecessary"
DISCLOSURE_BATCH = "reengage_disclosureBatch"
TRANSPORT_EVIDENCE = "reengage_transportEvidence"

VERSIONS: Mapping[str, str] = {
    CONSENT_GATE: "1-0-0",
    MINIMUM_NECESSARY: "1-0-0",
    DISCLOSURE_BATCH: "2-0-0",
    TRANSPORT_EVIDENCE: "1-0-0",
}
"""Key of every facet of ours, with the version of its schema."""


def class_of(key: str) -> str:
    """Name of a facet's class, and of its schema."""
    prefix, _, name = key.partition("_")
    return f"{prefix.capitalize()}{name[0].upper()}{name[1:]}RunFacet"


def consent_gate(
    *,
    purpose: str,
    rules: Iterable[str],
    candidates: int,
    eligible: int,
    excluded: Mapping[str, int],
) -> Facet:
    """Run facet `reengage_consentGate`: who might be written to, and why not the others.

    `rules` are ids of the rules that were applied, `excluded` counts patients by reason code; a
    patient counts under each reason that applies.
    """
    return _own(
        CONSENT_GATE,
        purpose=purpose,
        rules=sorted(set(rules)),
        candidates=candidates,
        eligible=eligible,
        excluded=_counted("reason", "patients", excluded),
    )


def minimum_necessary(
    *,
    declared: Iterable[str],
    selected: Iterable[str],
    staged: Iterable[str],
    suites: Mapping[str, str],
    templates: Mapping[str, str],
    statements: Mapping[str, str],
) -> Facet:
    """Run facet `reengage_minimumNecessary`: what was declared, asked for and kept (PRV-18).

    Columns of the contract, and of the staged row; SHA-256, in hex, by the name of each suite,
    template and file of SQL.
    """
    digests = [
        {"kind": kind, "name": name, "sha256": found[name]}
        for kind, found in (("suite", suites), ("template", templates), ("sql", statements))
        for name in sorted(found)
    ]
    return _own(
        MINIMUM_NECESSARY,
        declared=sorted(set(declared)),
        selected=sorted(set(selected)),
        staged=sorted(set(staged)),
        digests=digests,
    )


def disclosure_batch(
    *, letters: Mapping[str, int], vendor: str, baa_id: str, seals: Mapping[str, int]
) -> Facet:
    """Run facet `reengage_disclosureBatch`: how many letters went to whom, under what agreement.

    `letters` counts by outcome, `seals` those that were offered to the relay, by how they are
    sealed.
    """
    return _own(
        DISCLOSURE_BATCH,
        letters=_counted("outcome", "letters", letters),
        vendor=vendor,
        baaId=baa_id,
        seals=_counted("seal", "letters", seals),
    )


def transport_evidence(connections: Sequence[Mapping[str, Any]]) -> Facet:
    """Run facet `reengage_transportEvidence`: over which connections letters went (EML-11, EML-12).

    Of each: `host`, `tls_version`, `cipher`, `peer_sha256` (digest of the relay's certificate, or
    None) and the number of `letters`.
    """
    return _own(
        TRANSPORT_EVIDENCE,
        connections=[
            {
                "host": one["host"],
                "tlsVersion": one["tls_version"],
                "cipher": one["cipher"],
                **({"peerSha256": one["peer_sha256"]} if one.get("peer_sha256") else {}),
                "letters": one["letters"],
            }
            for one in connections
        ],
    )


def _own(key: str, **content: Any) -> Facet:
    return own_facet(class_of(key), VERSIONS[key], **content)


def _counted(of: str, what: str, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Counts as a list: a name that is data does not become the name of a member."""
    return [{of: name, what: counts[name]} for name in sorted(counts)]
