"""The manifests of deploy/kubernetes, and the official chart rendered with our values.

Rendering takes `helm` and the chart (REENGAGE_CHART: its directory or archive); Kubernetes' own
schemas are those of the kubernetes-validate package. `make test-kubernetes` fetches what it can.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from reengage.cli.main import parser
from reengage.deploy.tidy import PARSING
from reengage.settings import HOME

FILES = HOME / "deploy" / "kubernetes"
MANIFESTS = sorted(path for path in FILES.glob("*.yaml")
                   if path.name not in ("values.yaml", "pod-template.yaml"))  # fmt: skip
VERSION = "1.34"
CHART = os.environ.get("REENGAGE_CHART", "")
SECRETS = {"reengage-metadata", "reengage-migrate", "reengage-accounts", "reengage-fernet",
           "reengage-api", "reengage-jwt", "reengage-pages", "reengage-backup"}  # fmt: skip
PLACEHOLDERS = {
    '{{ template "pod_template_image" . }}': "REGISTRY/reengage:0.1.0",
    '{{ include "worker.kubernetes.serviceAccountName" . }}': "reengage-worker",
    '{{ include "airflow_config" . }}': "reengage-config",
}
"""What the chart puts in, and what stands for it where there is no chart."""
BACKUP_ONLY = {"reengage-dumps", "reengage-key-copy"}


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


# --- backup and restore ---


def backup() -> dict[str, Any]:
    return next(one for one in manifests() if one["metadata"]["name"] == "reengage-backup"
                and one["kind"] == "CronJob")  # fmt: skip


def test_dumps_and_keys_go_to_two_places_that_no_other_pod_sees() -> None:
    """SEC-14. Whoever runs one of the two storage systems opens nothing."""
    found = manifests()
    classes = {
        one["metadata"]["name"]: one["spec"]["storageClassName"]
        for one in found if one["kind"] == "PersistentVolumeClaim"
    }  # fmt: skip
    others = {where for name, where in classes.items() if name not in BACKUP_ONLY}
    apart = {classes[name] for name in BACKUP_ONLY}
    assert len(apart) == len(BACKUP_ONLY)
    assert apart & others == set()
    for name, spec in pods([*found, task_pod()]):
        assert (claims_of(spec) & BACKUP_ONLY == set()) == (name != "reengage-backup"), name
        assert ("reengage-backup" in secrets_of(spec)) == (name == "reengage-backup"), name


def test_rehearsed_letters_lie_where_only_tasks_see_them() -> None:
    """SEC-14. They are in the clear, and the portal is on the Internet."""
    [container] = task_pod()["spec"]["containers"]
    [where] = [one["value"] for one in container["env"]
               if one["name"] == "REENGAGE_REHEARSAL_MAILDIR"]  # fmt: skip
    [mount] = [one for one in container["volumeMounts"] if where.startswith(one["mountPath"])]
    [claim] = [one["persistentVolumeClaim"]["claimName"] for one in task_pod()["spec"]["volumes"]
               if one["name"] == mount["name"]]  # fmt: skip
    claims = [one["metadata"]["name"] for one in manifests()
              if one["kind"] == "PersistentVolumeClaim"]  # fmt: skip
    assert claim in claims
    assert [name for name, spec in pods(manifests()) if claim in claims_of(spec)] == []
    assert claim not in (FILES / "values.yaml").read_text(encoding="utf-8")


def test_the_portal_sees_who_asks() -> None:
    """It counts by address: a node's address would be that of all patients."""
    [service] = [one["spec"] for one in manifests() if one["kind"] == "Service"]
    assert service["externalTrafficPolicy"] == "Local"


def test_the_backup_runs_by_itself_and_copies_all_that_a_restore_wants() -> None:
    [container] = backup()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    options = parser().parse_args(container["args"])
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    # Not the volumes' own roots, whose mode is the storage's: both are made 0700.
    assert str(options.to.parent) == mounts["dumps"]
    assert str(options.keys.parent) == mounts["key-copy"]
    settings = {one["name"]: one["value"] for one in container["env"]}
    assert settings["REENGAGE_ACTOR"] == "job backup"
    ours = {one["name"]: one["value"] for one in task_pod()["spec"]["containers"][0]["env"]}
    for name, where in {"KEYRING": "keys", "JOURNAL": "journal", "CHECKPOINTS": "checkpoints",
                        "ARCHIVE": "archive"}.items():  # fmt: skip
        assert settings[f"REENGAGE_{name}"].startswith(mounts[where])
        assert settings[f"REENGAGE_{name}"] == ours[f"REENGAGE_{name}"]


def test_a_command_by_hand_is_a_job_of_the_backups_pod(tmp_path: Path) -> None:
    """The page's own shell function, with a kubectl that keeps what it is given."""
    if not shutil.which("jq"):
        pytest.skip("takes jq, as the page does")
    readme = (FILES / "README.md").read_text(encoding="utf-8")
    function = re.search(r"^```sh\n(reengage\(\) \{.*?^\})\n```", readme, re.M | re.S)
    assert function
    job = {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": "reengage-restore-1"},
           "spec": backup()["spec"]["jobTemplate"]["spec"]}  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (tmp_path / "kubectl").write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f'*"create -f -") cat > {tmp_path}/created.json;;\n'
        f'*"create job reengage-"*"--from=cronjob/reengage-backup "*) cat {tmp_path}/job.json;;\n'
        "*) exit 1;;\nesac\n",
        encoding="utf-8",
    )
    (tmp_path / "kubectl").chmod(0o700)
    commands = re.findall(r"`reengage ((?:restore|ledger|unknown|campaign) [^`]+)`", readme)
    assert len(commands) == 4
    for command in commands:
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{function[1]}\nreengage {command}"], check=True,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "USER": "o.perator"},
            capture_output=True,
        )  # fmt: skip
        created = json.loads((tmp_path / "created.json").read_text(encoding="utf-8"))
        [container] = created["spec"]["template"]["spec"]["containers"]
        asked = shlex.split(command)
        assert container["args"] == asked
        named = [one["value"] for one in container["env"] if one["name"] == "REENGAGE_ACTOR"]
        assert named == ["o.perator"]
        assert parser().parse_args(asked)
        check_pods([created])


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
