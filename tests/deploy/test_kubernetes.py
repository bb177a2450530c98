"""The manifests of deploy/kubernetes, and the official chart rendered with our values.

Rendering takes `helm` and the chart (REENGAGE_CHART: its directory or archive); Kubernetes' own
schemas are those of the kubernetes-validate package. `make test-kubernetes` fetches what it can.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml
from manifests import (
    FILES,
    check_pods,
    claims_of,
    containers,
    documents,
    manifests,
    pods,
    secrets_of,
    task_pod,
)
from reengage.deploy.tidy import PARSING

VERSION = "1.34"
CHART = os.environ.get("REENGAGE_CHART", "")
SECRETS = {"reengage-metadata", "reengage-migrate", "reengage-accounts", "reengage-fernet",
           "reengage-api", "reengage-jwt", "reengage-pages", "reengage-backup"}  # fmt: skip


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


def check_schema(found: list[dict[str, Any]]) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("takes the kubernetes-validate package; `make test-kubernetes` installs it")
    import kubernetes_validate

    for one in found:
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_our_pods_are_neither_root_nor_able_to_become_it_and_have_a_limit() -> None:
    found = [*manifests(), task_pod()]
    check_pods(found)
    assert len(list(pods(found))) == 6


def test_our_manifests_are_what_kubernetes_takes() -> None:
    check_schema([*manifests(), task_pod()])


def test_a_volume_keeps_the_modes_of_a_keyring_that_is_there() -> None:
    """Kubernetes gives every file to the group at each mount unless it is told not to."""
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    security = [spec["securityContext"] for _, spec in pods([*manifests(), task_pod()])]
    for one in (*security, values["securityContexts"]["pod"]):
        assert one["fsGroupChangePolicy"] == "OnRootMismatch"


def test_only_who_signs_has_the_key_that_signs_and_nobody_but_the_scheduler_kubernetes() -> None:
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    parts = {name: values[name] for name in ("scheduler", "apiServer", "dagProcessor", "triggerer")}
    signing = [name for name, one in parts.items() if "jwt" in str(one)]
    assert signing == ["scheduler", "apiServer"]
    assert [
        name for name, one in parts.items()
        if one.get("serviceAccount", {}).get("automountServiceAccountToken") is not False
    ] == ["scheduler"]  # fmt: skip
    for name in ("apiServer", "dagProcessor", "triggerer"):
        assert not parts[name].get("allowPodLogReading"), name


def test_a_task_is_given_its_own_secrets_only() -> None:
    assert secrets_of(task_pod()["spec"]) == {
        "reengage-tasks", "reengage-key-service", "reengage-ca"
    }  # fmt: skip


def test_who_only_reads_the_keyring_cannot_write_to_it() -> None:
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    mounts = [(name, mount) for name, spec in pods([*manifests(), task_pod()])
              for one in containers(spec) for mount in one["volumeMounts"]]  # fmt: skip
    mounts += [("api-server", mount) for mount in values["apiServer"]["extraVolumeMounts"]]
    writers = {name for name, one in mounts if one["name"] == "keys" and not one.get("readOnly")}
    assert writers == {"reengage-task", "reengage-migrate", "reengage-backup"}


# --- key service ---


def test_who_opens_the_keyring_has_all_that_a_key_service_wants() -> None:
    """SEC-25. Of one secret, so that no two of them can differ; and a way to the service."""
    found = [*manifests(), task_pod()]
    keyed = [
        (name, one["name"], one) for name, spec in pods(found) for one in containers(spec)
        if "REENGAGE_KEYRING" in str(one.get("env"))
    ]  # fmt: skip
    assert [(pod, name) for pod, name, _ in keyed] == [
        ("reengage-backup", "backup"), ("reengage-migrate", "keyring"),
        ("reengage-migrate", "accounts"), ("reengage-portal", "portal"),
        ("reengage-portal-tend", "tend"), ("reengage-task", "base"),
    ]  # fmt: skip
    for pod, name, one in keyed:
        assert {"secretRef": {"name": "reengage-key-service", "optional": True}} in one["envFrom"]
        assert not [each for each in one["env"] if each["name"].startswith(("VAULT_", "AWS_"))]
        mounts = {each["name"] for each in one["volumeMounts"]}
        assert {"ca", "keys"} <= mounts, (pod, name)
        settings = {each["name"]: each.get("value") for each in one["env"]}
        assert settings["SSL_CERT_FILE"] == "/tls/ca/bundle.crt"
    text = "".join(path.read_text(encoding="utf-8") for path in FILES.glob("*.yaml"))
    assert text.count("203.0.113.30/32") == 5  # api-server, tasks, portal, migrate, backup


def test_the_pages_are_given_every_setting_of_that_secret_and_no_other_part_is() -> None:
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    readme = (FILES / "README.md").read_text(encoding="utf-8")
    [row] = re.findall(r"^\| `reengage-key-service`.*$", readme, re.M)
    told = set(re.findall(r"`((?:REENGAGE|VAULT|AWS)_[A-Z_]+)`", row))
    assert len(told) == 8
    given = {
        one["name"]: one["valueFrom"]["secretKeyRef"] for one in values["apiServer"]["env"]
        if "reengage-key-service" in str(one)
    }  # fmt: skip
    assert set(given) == told
    assert all(one["optional"] and one["key"] == name for name, one in given.items())
    for part in ("scheduler", "dagProcessor", "triggerer"):
        assert "reengage-key-service" not in str(values[part])


def test_logs_go_to_the_claim_that_is_tidied() -> None:
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    [spec] = [spec for name, spec in pods(manifests()) if name == "reengage-tidy"]
    [container] = spec["containers"]
    where = container["command"][-1]
    [mount] = container["volumeMounts"]
    assert mount["mountPath"] == where == values["config"]["logging"]["base_log_folder"]
    assert claims_of(spec) == {values["logs"]["persistence"]["existingClaim"]}
    parsing = values["config"]["logging"]["dag_processor_child_process_log_directory"]
    assert parsing == f"{where}/{PARSING}"
    assert "envFrom" not in container


def test_no_file_holds_a_secret_or_a_way_without_tls() -> None:
    for path in FILES.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "kind: Secret" not in text
        assert not re.search(r"sslmode=(disable|prefer|require)|http://", text)
        assert not re.search(r"(?i)password: \S", text)


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


def test_the_charts_pods_have_the_key_that_signs_and_a_token_only_where_they_use_it(
    rendered: list[dict[str, Any]],
) -> None:
    found = dict(pods(rendered))
    assert {name for name, spec in found.items() if "reengage-jwt" in secrets_of(spec)} == {
        "reengage-scheduler", "reengage-api-server"
    }  # fmt: skip
    accounts = {one["metadata"]["name"]: one.get("automountServiceAccountToken", True)
                for one in rendered if one["kind"] == "ServiceAccount"}  # fmt: skip
    with_token = {
        name for name, spec in found.items()
        if accounts.get(spec.get("serviceAccountName"), True) and spec.get(
            "automountServiceAccountToken", True)
    }  # fmt: skip
    assert with_token == {"reengage-scheduler"}
    bound = {subject["name"] for one in rendered if one["kind"] == "RoleBinding"
             for subject in one["subjects"]}  # fmt: skip
    assert {name for name in bound if accounts[name]} == {"reengage-scheduler"}


# --- the executor ---

_EXECUTOR = """
import json, sys
from airflow.configuration import conf
from airflow.executors.executor_loader import ExecutorLoader
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers_manager import ProvidersManager

ProvidersManager().initialize_providers_configuration()
executor = ExecutorLoader.get_default_executor()
base = PodGenerator.deserialize_model_file(executor.kube_config.pod_template_file)
pod = PodGenerator.construct_pod(
    "reengage_x", "send", "reengage-x-send", 1, "", None, ["python", "-m", "x"], None, base,
    "clinic", "1",
)
known = {name: list(one["options"]) for name, one in conf.configuration_description.items()}
found = {
    "executor": f"{type(executor).__module__}.{type(executor).__name__}",
    "settings": vars(executor.kube_config), "pod": PodGenerator.serialize_pod(pod), "known": known,
}
print(json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The executor of values.yaml as a scheduler makes it, and the pod that it would ask for."""
    home = tmp_path_factory.mktemp("airflow")
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    template = home / "pod-template.yaml"
    template.write_text(yaml.safe_dump(task_pod()), encoding="utf-8")
    given = {
        f"AIRFLOW__KUBERNETES_EXECUTOR__{name.upper()}": value
        for name, value in values["config"]["kubernetes_executor"].items()
    }
    given |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__EXECUTOR": values["executor"],
              "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(template)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _EXECUTOR], env={**os.environ, **given},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_executor_that_the_values_name_can_be_imported(executor: dict[str, Any]) -> None:
    """The image has what is locked and nothing else: its provider is among that."""
    assert executor["executor"].endswith(".kubernetes_executor.KubernetesExecutor")
    settings = executor["settings"]
    assert settings["delete_worker_pods"] is True
    assert settings["delete_worker_pods_on_failure"] is True
    assert settings["worker_pods_creation_batch_size"] == 8


def test_every_setting_of_the_values_is_one_that_airflow_or_a_provider_knows(
    executor: dict[str, Any],
) -> None:
    """Airflow takes a misspelt one without a word."""
    values = yaml.safe_load((FILES / "values.yaml").read_text(encoding="utf-8"))
    unknown = [
        f"{section}.{name}" for section, names in values["config"].items() for name in names
        if name not in executor["known"].get(section, ())
    ]  # fmt: skip
    assert unknown == []


def test_the_pod_of_a_try_is_ours_with_the_executors_command(executor: dict[str, Any]) -> None:
    pod, ours = executor["pod"], task_pod()
    check_pods([pod])
    [container] = pod["spec"]["containers"]
    [template] = ours["spec"]["containers"]
    assert container["args"] == ["python", "-m", "x"]
    assert container["image"] == template["image"]
    assert container["envFrom"] == template["envFrom"]
    assert container["volumeMounts"] == template["volumeMounts"]
    added = [one for one in container["env"] if one not in template["env"]]
    assert [one["name"] for one in added] == ["AIRFLOW_IS_K8S_EXECUTOR_POD"]
    assert claims_of(pod["spec"]) == claims_of(ours["spec"])
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"].items() >= ours["metadata"]["labels"].items()
