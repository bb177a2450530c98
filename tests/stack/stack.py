"""The stack of docker-compose.yaml under a project name, secrets and volumes of its own."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from reengage.deploy import env_file
from reengage.embedded.client import AirflowClient
from reengage.embedded.processes import free_port
from reengage.settings import HOME

from stack.engine import docker

PROJECT = "reengage-test"
MINE = f"label=com.docker.compose.project={PROJECT}"
RATE = 40
"""Letters a second that the test's relay takes: slow enough to kill a worker among them."""
WORKERS = 2
HEARTBEAT_SECONDS = 20
QUEUED_SECONDS = 90
"""Longer than a chunk waits for a slot in the test."""


@dataclass
class Stack:
    """A running stack: its commands, its databases, its Airflow."""

    variables: dict[str, str]
    client: AirflowClient

    def compose(self, *arguments: str, check: bool = True, timeout: float = 1800) -> str:
        return compose(self.variables, *arguments, check=check, timeout=timeout)

    def containers(self, service: str) -> list[str]:
        """Ids of the service's running containers."""
        label = f"label=com.docker.compose.service={service}"
        return docker("ps", "-q", "--no-trunc", "--filter", MINE, "--filter", label).split()

    def all_containers(self) -> dict[str, str]:
        """Id of every container of the stack's, also of jobs that are over and of what was killed,
        and the service that it is of.
        """
        told = docker("ps", "-a", "--no-trunc", "--filter", MINE,
                      "--format", '{{.ID}} {{.Label "com.docker.compose.service"}}')  # fmt: skip
        return dict(line.split() for line in told.splitlines())

    def run(self, container: str, script: str) -> str:
        """What the shell's script said on both streams, whatever its exit status."""
        return docker("exec", container, "sh", "-c", f"exec 2>&1\n{script}", check=False)

    def ask(self, container: str, program: Path, *arguments: str) -> Any:
        """What a Python program that runs in the container answers in JSON."""
        source = program.read_text(encoding="utf-8")
        return json.loads(docker("exec", container, "python", "-c", source, *arguments))

    def rows(self, database: str, question: str) -> list[dict[str, Any]]:
        """Rows of a question, asked as the superuser on the socket inside the container."""
        [container] = self.containers("postgres")
        asked = f"SELECT coalesce(json_agg(q), '[]') FROM ({question}) AS q"
        return list(json.loads(docker(
            "exec", "-e", "ASKED=" + asked, container, "sh", "-c",
            f'PGPASSWORD="$POSTGRES_PASSWORD" psql -X -A -t -U postgres -d {database} -c "$ASKED"',
        )))  # fmt: skip

    def page(self, path: str, method: str = "GET") -> str:
        """A page of ours in Airflow, as its first account sees it. Raises HTTPStatusError."""
        said = {"username": self.client.user, "password": self.client.password}
        with self._asking(self.client.address) as asking:
            token = asking.post("/auth/token", json=said).raise_for_status().json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            return asking.request(method, path, headers=bearer).raise_for_status().text

    def press(self, path: str, form: dict[str, str]) -> str:
        """What the portal answers who presses a button, at its published port. Raises likewise."""
        port = self.variables["PORTAL_LISTEN"].rpartition(":")[2]
        with self._asking(f"https://localhost:{port}") as asking:
            return asking.post(path, data=form).raise_for_status().text

    def _asking(self, address: str) -> httpx.Client:
        trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        return httpx.Client(base_url=address, verify=trust, timeout=60)

    def copy(self, service: str, path: str, to: Path) -> Path:
        """A directory of the service's container, copied here."""
        docker("cp", f"{self.containers(service)[0]}:{path}", str(to))
        return to

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", container))[0]
        return found


def command() -> list[str] | None:
    """Docker's own compose, else the older one; None where there is neither."""
    found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if not found.returncode:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def compose(
    variables: dict[str, str], *arguments: str, check: bool = True, timeout: float = 1800
) -> str:
    """What compose said to the command. Raises AssertionError with the end of its errors."""
    done = subprocess.run(
        [*(command() or []), "-p", PROJECT, "--project-directory", HOME,
         "--env-file", variables["ENV_FILE"], "-f", HOME / "docker-compose.yaml",
         "-f", Path(__file__).with_name("override.yaml"), *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
        timeout=timeout,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"compose {' '.join(arguments)}: {done.stderr[-3000:]}")
    return done.stdout


def write_files(scratch: Path) -> dict[str, str]:
    """Secrets, campaigns and vendors of the test; gives the variables of its stack."""
    env_file.ensure(scratch / "env", scratch / "worker.env", scratch / "keys.env")
    shutil.copytree(HOME / "campaigns", scratch / "campaigns")
    for path in (scratch / "campaigns").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        lines = [
            'send_window: {opens: "00:00", closes: "23:59"}' if "send_window" in line else line
            for line in text.splitlines()
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    vendors = yaml.safe_load((HOME / "deploy/compose/vendors.dev.yaml").read_text("utf-8"))
    vendors["vendors"][0]["rate"] = {"per_second": RATE}
    (scratch / "vendors.yaml").write_text(yaml.safe_dump(vendors), encoding="utf-8")
    for path in (scratch, scratch / "campaigns"):
        path.chmod(0o755)  # the containers' users read them
    ports = {"AIRFLOW_LISTEN": free_port(), "PORTAL_LISTEN": free_port()}
    return {
        "ENV_FILE": str(scratch / "env"),
        "WORKER_ENV_FILE": str(scratch / "worker.env"),
        "KEYS_ENV_FILE": str(scratch / "keys.env"),
        "TEST_FILES": str(scratch),
        "SAMPLE_PATIENTS": os.environ.get("REENGAGE_COMPOSE_PATIENTS", "12000"),
        "TASK_HEARTBEAT_TIMEOUT": str(HEARTBEAT_SECONDS),
        "TASK_QUEUED_TIMEOUT": str(QUEUED_SECONDS),
        "REENGAGE_IMAGE": "reengage:test",
        **{name: f"127.0.0.1:{port}" for name, port in ports.items()},
    }


@contextmanager
def running(scratch: Path, images: dict[str, str]) -> Iterator[Stack]:
    """The stack, built on these images and healthy; its containers and volumes are gone at the end.

    `images`: variable of docker-compose.yaml -> image.
    """
    variables = {**write_files(scratch), **images}
    try:
        compose(variables, "down", "-v", "--remove-orphans", check=False)  # a killed test's
        compose(variables, "build", "prepare")
        compose(variables, "up", "-d", "--scale", f"worker={WORKERS}")
        address = f"https://localhost:{variables['AIRFLOW_LISTEN'].rpartition(':')[2]}"
        secrets = env_file.read(Path(variables["ENV_FILE"]))
        client = AirflowClient(address, "admin", secrets["ADMIN_PASSWORD"])
        stack = Stack(variables, client)
        stack.copy("api-server", "/tls/ca/ca.pem", scratch / "ca.pem")
        os.environ["SSL_CERT_FILE"] = str(scratch / "ca.pem")
        client.wait_until_healthy()
        yield stack
    except BaseException:
        print(compose(variables, "ps", check=False))
        print(compose(variables, "logs", "--tail", "40", check=False))
        raise
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        if os.environ.get("REENGAGE_COMPOSE_KEEP") != "1":
            compose(variables, "down", "-v", "--timeout", "10", check=False)
