"""A backup on Kubernetes, and a restore by the same pod."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from manifests import (
    FILES,
    check_pods,
    claims_of,
    manifests,
    pods,
    secrets_of,
    task_pod,
)
from reengage.cli.main import parser

BACKUP_ONLY = {"reengage-dumps", "reengage-key-copy"}


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
