"""Facets of our own: named as OpenLineage asks, with schemas that never change (OLN-05, OLN-06)."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

import pytest
from examples import OWN_FACETS, SHA
from openlineage_spec import CORE, Spec
from reengage.lineage import facets
from reengage.lineage.base import BASE, facet, own_schema
from reengage.settings import HOME

SCHEMAS = HOME / "docs" / "schemas"

PUBLISHED = {
    "1-0-0/ReengageConsentGateRunFacet.json": "2399634b7d6c6f9d",
    "1-0-0/ReengageDisclosureBatchRunFacet.json": "89f5c57100f4a623",
    "1-0-0/ReengageMinimumNecessaryRunFacet.json": "72cce261ec9092a8",
    "1-0-0/ReengageTransportEvidenceRunFacet.json": "8880625637c08c70",
    "2-0-0/ReengageDisclosureBatchRunFacet.json": "71efd5da7ca71cc4",
}
"""Every schema that was ever published, with the beginning of its digest: none may change."""


@pytest.mark.parametrize("key", facets.VERSIONS)
def test_key_and_class_are_named_alike(key: str) -> None:
    assert re.fullmatch(r"reengage_[a-z][A-Za-z]+", key)
    name = key.removeprefix("reengage_")
    assert facets.class_of(key) == f"Reengage{name[0].upper()}{name[1:]}RunFacet"


@pytest.mark.parametrize("key", facets.VERSIONS)
def test_the_schema_is_published_under_the_address_that_the_facet_names(key: str) -> None:
    name, version = facets.class_of(key), facets.VERSIONS[key]
    address = own_schema(name, version)
    assert OWN_FACETS[key]["_schemaURL"] == f"{address}#/$defs/{name}"
    document = json.loads((SCHEMAS / version / f"{name}.json").read_text())
    assert document["$id"] == address == f"{BASE}/schemas/{version}/{name}.json"
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["properties"] == {key: {"$ref": f"#/$defs/{name}"}}
    assert document["$defs"][name]["allOf"][0] == {"$ref": f"{CORE}#/$defs/RunFacet"}


def test_no_address_is_that_of_a_branch() -> None:
    for key, one in OWN_FACETS.items():
        assert re.search(r"/schemas/\d+-\d+-\d+/", one["_schemaURL"]), key
        assert not re.search(r"main|master|HEAD|latest", one["_schemaURL"] + one["_producer"])


def test_what_was_published_never_changes() -> None:
    found = {
        str(path.relative_to(SCHEMAS)): sha256(path.read_bytes()).hexdigest()[:16]
        for path in SCHEMAS.rglob("*.json")
    }
    assert PUBLISHED.items() <= found.items()


def faults(openlineage: Spec, key: str, one: dict[str, Any]) -> list[str]:
    return list(openlineage._facet("run", "$", key, one))


@pytest.mark.parametrize("key", facets.VERSIONS)
def test_each_facet_is_valid_and_a_wrong_one_is_not(key: str, openlineage: Spec) -> None:
    good = OWN_FACETS[key]
    assert faults(openlineage, key, good) == []
    members = [name for name in good if not name.startswith("_")]
    for name in members:
        assert faults(openlineage, key, {n: v for n, v in good.items() if n != name}), name
        assert faults(openlineage, key, {**good, name: 1.5}), name
    assert faults(openlineage, key, {**good, "more": 1})


@pytest.mark.parametrize(
    ("key", "member", "value"),
    [
        (facets.CONSENT_GATE, "rules", ["rule 6"]),
        (facets.CONSENT_GATE, "purpose", "Ann Smith"),
        (facets.CONSENT_GATE, "excluded", [{"reason": "opted out", "patients": 1}]),
        (facets.CONSENT_GATE, "excluded", [{"reason": "opted_out", "patients": 1, "who": "x"}]),
        (facets.MINIMUM_NECESSARY, "declared", ["patient"]),
        (facets.MINIMUM_NECESSARY, "staged", ["ann@example.org"]),
        (facets.MINIMUM_NECESSARY, "digests", [{"kind": "suite", "name": "x", "sha256": "1"}]),
        (facets.MINIMUM_NECESSARY, "digests", [{"kind": "letter", "name": "x", "sha256": SHA}]),
        (facets.DISCLOSURE_BATCH, "letters", [{"outcome": "sent", "letters": -1}]),
        (facets.TRANSPORT_EVIDENCE, "connections",
         [{"host": "h", "tlsVersion": "TLSv1.1", "cipher": "c", "letters": 1}]),
    ],
)  # fmt: skip
def test_a_schema_takes_codes_counts_and_digests_only(
    key: str, member: str, value: Any, openlineage: Spec
) -> None:
    assert faults(openlineage, key, {**OWN_FACETS[key], member: value})


def test_counts_are_lists_in_the_order_of_their_codes() -> None:
    assert OWN_FACETS[facets.CONSENT_GATE]["excluded"] == [
        {"reason": "no_authorization", "patients": 3},
        {"reason": "opted_out", "patients": 2},
    ]
    assert OWN_FACETS[facets.CONSENT_GATE]["rules"] == ["PRV-01", "PRV-06"]


def test_a_relay_without_a_digest_has_none() -> None:
    first, second = OWN_FACETS[facets.TRANSPORT_EVIDENCE]["connections"]
    assert first["peerSha256"] == SHA
    assert "peerSha256" not in second


def test_a_facet_that_the_specification_has_not_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        facet("consentGate")
