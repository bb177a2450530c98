"""The manifests of deploy/kubernetes, read, and what a test asks of them.

for name, spec in pods([*manifests(), task_pod()]): ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from reengage.settings import HOME

FILES = HOME / "deploy" / "kubernetes"
MANIFESTS = sorted(path for path in FILES.glob("*.yaml")
                   if path.name not in ("values.yaml", "pod-template.yaml"))  # fmt: skip
PLACEHOLDERS = {
    '{{ template "pod_template_image" . }}': "REGISTRY/reengage:0.1.0",
    '{{ include "worker.kubernetes.serviceAccountName" . }}': "reengage-worker",
    '{{ include "airflow_config" . }}': "reengage-config",
}
"""What the chart puts in, and what stands for it where there is no chart."""


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def manifests() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in documents(path.read_text(encoding="utf-8"))]


def task_pod() -> dict[str, Any]:
    """The template of a task's pod, without the chart."""
    text = (FILES / "pod-template.yaml").read_text(encoding="utf-8")
    for one, value in PLACEHOLDERS.items():
        text = text.replace(one, value)
    return dict(yaml.safe_load(text))


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
    """Names of the secrets that a pod mounts or is given as its environment."""
    found: set[str] = set()
    left: list[Any] = [spec]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            found |= {one[key]["name"] for key in ("secretRef", "secretKeyRef") if key in one}
            found |= {one["secretName"]} if "secretName" in one else set()
            left += one.values()
    return found


def claims_of(spec: dict[str, Any]) -> set[str]:
    return {one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"]
            if "persistentVolumeClaim" in one}  # fmt: skip


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
