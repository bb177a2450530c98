"""Who may speak to whom on Kubernetes: the policies beside the table of the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from manifests import FILES, claims_of, manifests, pods, task_pod


def test_every_claim_is_made_and_every_pod_that_needs_one_has_a_way_out_of_its_own() -> None:
    found = manifests()
    made = {one["metadata"]["name"] for one in found if one["kind"] == "PersistentVolumeClaim"}
    for name, spec in pods([*found, task_pod()]):
        assert claims_of(spec) <= made, name
    ways = {name: {way for way, _, _ in egress(labels)} for name, labels in labels_of(found)}
    assert ways.pop("reengage-tidy") == set()
    assert all(ways_of - {"reengage-dns"} for ways_of in ways.values()), ways


def labels_of(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    for one in found:
        if one["kind"] in ("Deployment", "Job", "CronJob"):
            spec = one["spec"] if one["kind"] != "CronJob" else one["spec"]["jobTemplate"]["spec"]
            yield one["metadata"]["name"], spec["template"]["metadata"]["labels"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a pod of these labels is meant, as Kubernetes reads it."""
    wants = selector.get("matchLabels", {})
    for one in selector.get("matchExpressions", []):
        if one["operator"] not in ("In", "NotIn"):
            raise AssertionError(one)
        if (labels.get(one["key"]) in one["values"]) != (one["operator"] == "In"):
            return False
    return all(labels.get(key) == value for key, value in wants.items())


def egress(labels: dict[str, str]) -> set[tuple[str, str, int]]:
    """Where a pod of these labels may speak to: policy, address or selector, port."""
    return {
        (one["metadata"]["name"], to.get("ipBlock", {}).get("cidr") or str(to), port["port"])
        for one in manifests()
        if one["kind"] == "NetworkPolicy" and selects(one["spec"]["podSelector"], labels)
        for rule in one["spec"].get("egress", [])
        for to in rule["to"]
        for port in rule["ports"]
    }


def addresses(labels: dict[str, str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for _, to, port in egress(labels):
        if to.endswith("/32"):
            found.setdefault(to.removesuffix("/32"), set()).add(port)
    return found


def test_each_part_speaks_to_what_the_readme_says_of_it_and_to_nothing_else() -> None:
    readme = (FILES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (203\.0\.113\.\d+) \| ([^|]+) \|", readme, re.M)
    told = {address: {int(port) for port in re.findall(r"\d+", ports)} for address, ports in rows}
    parts = {name: {"component": name, "tier": "airflow"}
             for name in ("scheduler", "api-server", "dag-processor", "triggerer")}  # fmt: skip
    task = task_pod()["metadata"]["labels"]
    everybody = [*parts.values(), task, *dict(labels_of(manifests())).values()]
    found: dict[str, set[int]] = {}
    for labels in everybody:
        for address, ports in addresses(labels).items():
            found.setdefault(address, set()).update(ports)
    assert found == told
    database, kubernetes, keys = "203.0.113.10", "203.0.113.1", "203.0.113.30"
    directory, told_by_https = "203.0.113.31", "203.0.113.40"
    assert {name: set(addresses(labels)) for name, labels in parts.items()} == {
        "scheduler": {database, kubernetes},
        "api-server": {database, "203.0.113.11", keys, directory, told_by_https},
        "dag-processor": {database},
        "triggerer": {database},
    }
    assert set(addresses(task)) == set(told) - {kubernetes, directory}
    ours = {name: set(addresses(labels)) for name, labels in labels_of(manifests())}
    assert ours.pop("reengage-portal-tend") == set(addresses(task))
    assert ours.pop("reengage-backup") == {database, keys, told_by_https}
    assert {name: ways for name, ways in ours.items() if ways - {database, keys}} == {}


def test_the_portal_sees_who_asks() -> None:
    """It counts by address: a node's address would be that of all patients."""
    [service] = [one["spec"] for one in manifests() if one["kind"] == "Service"]
    assert service["externalTrafficPolicy"] == "Local"


def test_everything_is_denied_first() -> None:
    policies = [one for one in manifests() if one["kind"] == "NetworkPolicy"]
    deny = next(one["spec"] for one in policies if one["metadata"]["name"] == "reengage-deny-all")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
