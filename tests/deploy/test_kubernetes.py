"""The manifests of deploy/kubernetes, and the official chart rendered with our values.

Rendering takes `helm` and the chart (REENGAGE_CHART: its directory or archive); Kubernetes' own
schemas are those of the kubernetes-validate package. `make test-kubernetes` fetches what it can.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from reengage.settings import HOME

FILES = HOME / "deploy" / "kubernetes"
MANIFESTS = sorted(path for path in FILES.glob("*.yaml")
                   if path.name not in ("values.yaml", "pod-template.yaml"))  # fmt: skip
VERSION = "1.34"
CHART = os.environ.get("REENGAGE_CHART", "")
SECRETS = {"reengage-metadata", "reengage-migrate", "reengage-accounts", "reengage-fernet",
           "reengage-api", "reengage-jwt", "reengage-pages"}  # fmt: skip


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def manifests() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in documents(path.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    if not CHART or not shutil.which("helm"):
        pytest.skip("takes helm and the official chart (REENGAGE_CHART); `make test-kubernetes`")
    done = subprocess.run(
        ["helm", "template", "reengage", CHART, "--namespace", "reengage",
         "-f", FILES / "values.yaml", "--set-file", f"podTemplate={FILES / 'pod-template.yaml'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]  # the chart's schema refuses unknown values
    found = documents(done.stdout)
    template = next(
        one["data"]["pod_template_file.yaml"]
        for one in found
        if one["kind"] == "ConfigMap" and "pod_template_file.yaml" in one["data"]
    )
    return [*found, *documents(template)]


def pods(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's specification, under the name of what makes it."""
    for one in found:
        spec, kind = one.get("spec", {}), one["kind"]
        if kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if kind in ("Deployment", "Job", "StatefulSet", "CronJob"):
            spec = spec["template"]["spec"]
        if kind in ("Deployment", "Job", "StatefulSet", "CronJob", "Pod"):
            yield one["metadata"]["name"], spec


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def secrets_of(spec: dict[str, Any]) -> set[str]:
    return set(re.findall(r"'(?:secretName|name)': '(reengage-[a-z-]+)'", str(spec)))


def check_pods(found: list[dict[str, Any]]) -> None:
    for name, spec in pods(found):
        security = spec["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["runAsUser"] == 50000, name
        for one in containers(spec):
            own = one["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, (name, one["name"])
            assert own["readOnlyRootFilesystem"] is True, (name, one["name"])
            assert own["capabilities"]["drop"] == ["ALL"], (name, one["name"])
            assert one["resources"]["limits"]["memory"], (name, one["name"])


def check_schema(found: list[dict[str, Any]]) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("takes the kubernetes-validate package; `make test-kubernetes` installs it")
    import kubernetes_validate

    for one in found:
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_our_pods_are_neither_root_nor_able_to_become_it_and_have_a_limit() -> None:
    found = manifests()
    check_pods(found)
    assert len(list(pods(found))) == 3


def test_our_manifests_are_what_kubernetes_takes() -> None:
    check_schema(manifests())


def test_no_file_holds_a_secret_or_a_way_without_tls() -> None:
    for path in FILES.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "kind: Secret" not in text
        assert not re.search(r"sslmode=(disable|prefer|require)|http://", text)
        assert not re.search(r"(?i)password: \S", text)


def test_everything_is_denied_first() -> None:
    policies = [one for one in manifests() if one["kind"] == "NetworkPolicy"]
    deny = next(one["spec"] for one in policies if one["metadata"]["name"] == "reengage-deny-all")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_readme_names_every_secret_that_is_asked_for() -> None:
    readme = (FILES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(reengage-[a-z-]+)`", readme))
    text = "".join(path.read_text(encoding="utf-8") for path in FILES.glob("*.yaml"))
    asked = re.findall(
        r"(?:secretName|secretKeyRef: {name|secretRef: {name): (reengage-[a-z-]+)", text
    )
    assert set(asked) <= named


def test_the_rendered_chart_is_what_kubernetes_takes(rendered: list[dict[str, Any]]) -> None:
    check_schema(rendered)


def test_the_rendered_pods_are_hardened(rendered: list[dict[str, Any]]) -> None:
    check_pods(rendered)


def test_a_task_sees_no_secret_of_airflows(rendered: list[dict[str, Any]]) -> None:
    task = next(spec for name, spec in pods(rendered) if name == "reengage-task")
    assert secrets_of(task) & SECRETS == set()
    assert "SQL_ALCHEMY_CONN" not in str(task)
    assert task["automountServiceAccountToken"] is False


def test_the_chart_makes_no_secret_with_a_default(rendered: list[dict[str, Any]]) -> None:
    made = [one for one in rendered if one["kind"] == "Secret"]
    assert [
        one["metadata"]["name"] for one in made if one.get("data") or one.get("stringData")
    ] == []


def test_tasks_ask_the_api_server_that_the_chart_makes(rendered: list[dict[str, Any]]) -> None:
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    host = values["config"]["core"]["execution_api_server_url"].split("/")[2].split(":")[0]
    services = {one["metadata"]["name"] for one in rendered if one["kind"] == "Service"}
    assert host in services
    ours = next(spec for name, spec in pods(rendered) if name == host)
    assert "AIRFLOW__API__SSL_CERT" in str(ours)
