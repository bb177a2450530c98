"""The stack as a whole: a campaign on two Celery workers, one of them killed, letter by letter."""

from __future__ import annotations

import json
import mailbox
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from uuid import uuid4

import pytest
from reengage.embedded.processes import wait_until

from stack.engine import docker, logs
from stack.stack import WORKERS, Stack

DAG = "reengage_health_education"
AFTERWARDS = "reengage_appointment_reminder"
PERSON = "o.perator"
RUN_SECONDS = 900
SENT = "state = 'sent'"
TLS_PORTS = {"postgres": 5432, "redis": 6379, "api-server": 8080, "portal": 8443, "mail": 2525}
OURS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "portal", "portal-tend",
        "mail", "tidy")  # fmt: skip
SERVICES = (*OURS, "postgres", "redis")
HANDSHAKES = Path(__file__).with_name("handshakes.py")
ADDRESS = re.compile(r"[a-z]+\.[a-z]+\.[0-9a-f]{12}@")
"""Of a patient of the sample's."""
KEPT = ("letter", "approval", "decision", "opt_out")
"""Tables that come back from a backup as they were."""
KEYS = "SELECT patient_key FROM contract.patient"
UUIDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
FOUND, NONE_FOUND = 0, 1
"""grep's exit status; more is a fault."""


@pytest.fixture(scope="module")
def played(stack: Stack) -> dict[str, Any]:
    """The campaign's run: two workers send, one is killed among its letters."""
    client, dag_run_id = stack.client, f"test__{uuid4()}"
    approved = _reengage(stack, "approve", "--because", "for the test")  # as docs/approvals.md says
    assert approved.startswith("approved  ")
    client.wait_for_dag(DAG)
    client.unpause(DAG)
    client.trigger(DAG, dag_run_id, {})

    def senders() -> dict[str, str]:
        return {
            one["hostname"]: one["map_index"]
            for one in client.tasks(DAG, dag_run_id)
            if one["task_id"] == "send" and one["state"] == "running"
        }

    def both_send() -> bool:
        assert client.run_state(DAG, dag_run_id) in ("queued", "running"), client.reasons(
            DAG, dag_run_id
        )
        return len(senders()) == 2 and _count(stack, SENT) > 50

    wait_until(both_send, seconds=RUN_SECONDS, what="sending on two workers", every=1)
    victim = next(one for one in stack.containers("worker") if _hostname(stack, one) in senders())
    sent_before = _count(stack, SENT)
    docker("kill", victim)  # SIGKILL, to every process in it
    _wait_for_the_end(stack, DAG, dag_run_id)
    return {
        "dag_run_id": dag_run_id,
        "state": client.run_state(DAG, dag_run_id),
        "reasons": client.reasons(DAG, dag_run_id),
        "tasks": client.tasks(DAG, dag_run_id),
        "sent_before": sent_before,
        "victim": victim,
    }


def test_the_run_ends_well_although_a_worker_was_killed(played: dict[str, Any]) -> None:
    assert played["state"] == "success", played["reasons"]
    tried = [one for one in played["tasks"] if one["task_id"] == "send" and one["try_number"] > 1]
    assert tried  # what the dead worker had was done by the other


def test_every_letter_of_the_outbox_is_in_the_mail_sink_once(
    stack: Stack, played: dict[str, Any], tmp_path: Path
) -> None:
    letters = stack.rows("store", "SELECT message_id, state, reason FROM letter")
    known = {one["message_id"]: one["state"] for one in letters}
    found = Counter(_message_ids(stack.copy("mail", "/var/lib/reengage/mail", tmp_path / "mail")))
    states = Counter(known.values())
    print(f"letters {dict(states)}, in the sink {found.total()}, before the kill at least"
          f" {played['sent_before']}")  # fmt: skip
    assert played["sent_before"] < states["sent"]
    assert [one for one, times in found.items() if times > 1] == []  # never twice
    assert set(found) - set(known) == set()  # nothing that the outbox does not know
    assert {one for one, state in known.items() if state == "sent"} <= set(found)  # never lost
    in_doubt = {one for one, state in known.items() if state == "unknown"}
    assert len(in_doubt) <= 2  # one for each connection of the killed worker
    assert set(found) - {one for one, state in known.items() if state == "sent"} <= in_doubt
    assert states.keys() <= {"sent", "unknown", "withheld"}  # nothing is left half done


def test_the_ledger_of_the_run_is_sound(stack: Stack, played: dict[str, Any]) -> None:
    assert _reengage(stack, "ledger", "verify").startswith("the ledger is sound")
    assert _entries(stack, "disclosure") == _count(stack, "state IN ('sent', 'unknown')")


def test_the_pages_in_airflow_show_the_run_and_each_reading_is_on_record(
    stack: Stack, played: dict[str, Any]
) -> None:
    before = _entries(stack, "access")
    page = stack.page(f"/reengage/dags/{DAG}/runs/{played['dag_run_id']}")
    assert f"{_count(stack, SENT):,}" in page
    assert "derived again from their bytes" in stack.page(
        "/reengage/compliance/verify", method="POST"
    )
    assert _entries(stack, "access") == before + 2


def test_a_letters_own_link_opts_its_patient_out_at_the_portal(
    stack: Stack, played: dict[str, Any], tmp_path: Path
) -> None:
    """EML-26. The portal only reads the keyring, and writes the journal."""
    letters = stack.copy("mail", "/var/lib/reengage/mail", tmp_path / "mail")
    letter = next(iter(mailbox.Maildir(letters, create=False)))
    _opt_out(stack, letter)
    [row] = stack.rows("store", "SELECT patient, channel FROM opt_out")
    assert row["channel"] == "one_click"
    mine = f"SELECT patient FROM letter WHERE message_id = '{letter['Message-ID']}'"
    assert [one["patient"] for one in stack.rows("store", mine)] == [row["patient"]]
    [portal] = stack.containers("portal")
    assert row["patient"] in stack.run(portal, "cat /var/lib/reengage/journal/refusals.jsonl")
    for service in ("portal", "portal-tend", "api-server"):
        [container] = stack.containers(service)
        assert "Read-only" in stack.run(container, "touch /var/lib/reengage/keys/ring/x")


def test_what_is_published_knocks_at_no_other_service(stack: Stack, played: dict[str, Any]) -> None:
    """Whoever got into the portal's process finds its database and no other service, neither by
    name nor at any address that one has.
    """
    [portal] = stack.containers("portal")
    asked = "import socket; socket.create_connection(('{}', {}), 3); print('open')"
    for service, port in TLS_PORTS.items():
        [container] = stack.containers(service)
        networks = stack.inspect(container)["NetworkSettings"]["Networks"].values()
        said = {
            where: stack.run(portal, f'python -c "{asked.format(where, port)}"').endswith("open\n")
            for where in (service, *(one["IPAddress"] for one in networks))
        }
        assert any(said.values()) == (service in ("portal", "postgres")), (service, said)


def test_a_backup_takes_the_store_and_the_keys_to_two_places(
    stack: Stack, played: dict[str, Any]
) -> None:
    told = stack.compose("run", "-T", "--rm", "backup")
    assert re.search(r"^store  /backups/dumps/\S+, [\d,]+ octets, [\d,]+ entries", told, re.M)
    assert re.search(r"^keys   /backups/keys, \d+ files of keys", told, re.M)
    seen = {
        place: stack.compose(
            "run", "-T", "--rm", "--no-deps", "backup", "find", place, "-type", "f"
        )
        for place in ("/backups/dumps", "/backups/keys")
    }
    assert "store.dump" in seen["/backups/dumps"]
    assert ".key" in seen["/backups/keys"]
    assert ".key" not in seen["/backups/dumps"]


def test_nothing_of_a_patient_is_left_in_a_container(stack: Stack, played: dict[str, Any]) -> None:
    """SEC-10. The sample's addresses all end alike; that the question finds them the sink shows."""
    [sink] = stack.containers("mail")
    assert _exit(stack.run(sink, _search("/var/lib/reengage/mail"))) == FOUND
    for service in OURS:
        for container in stack.containers(service):
            for _ in range(3):  # a file that went while it was read is no answer
                said = stack.run(container, _search("/tmp /opt/airflow /var/log/airflow"))
                if _exit(said) in (FOUND, NONE_FOUND):
                    break
            assert _exit(said) == NONE_FOUND, (service, said)


def test_nothing_of_a_patient_is_in_a_log(stack: Stack, played: dict[str, Any]) -> None:
    """Of any container, on either stream; of jobs that are over and the worker that died, too."""
    found = stack.all_containers()
    assert played["victim"] in found
    assert {*SERVICES, "prepare", "keyring", "migrate", "accounts", "sample"} <= {*found.values()}
    told = {container: logs(container) for container in found}
    keys = {str(one["patient_key"]) for one in stack.rows("warehouse", KEYS)}
    talking = ("api-server", "scheduler", "worker", "accounts", "sample")
    assert all(told[one] for one, service in found.items() if service in talking)
    assert {found[one] for one, said in told.items() if ADDRESS.search(said)} == set()
    assert {found[one] for one, said in told.items() if keys & set(UUIDS.findall(said))} == set()


def test_who_decides_in_a_container_says_who_they_are(stack: Stack, played: dict[str, Any]) -> None:
    """SEC-03. The approval of the run has a name; without one there is none."""
    told = stack.run(
        stack.containers("worker")[0], 'python -m reengage approve --because "for the test"'
    )
    assert "nobody is named" in told
    decided = stack.rows("store", "SELECT DISTINCT decided_by FROM approval")
    assert [one["decided_by"] for one in decided] == [PERSON]


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_is_root_or_may_become_it_or_writes_to_its_image(
    service: str, stack: Stack
) -> None:
    for container in stack.containers(service):
        found = stack.inspect(container)
        assert docker("exec", container, "id", "-u").strip() != "0"
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
        status = docker("exec", container, "cat", "/proc/self/status")
        assert re.search(r"CapEff:\s+0+$", status, re.M)
        written = stack.run(container, "touch /usr/x /etc/x")
        assert written.count("Read-only file system") == 2


@pytest.mark.parametrize("service", SERVICES)
def test_every_socket_that_others_reach_speaks_tls(service: str, stack: Stack) -> None:
    """SEC-18. What else listens does so on the loopback of its container."""
    for container in stack.containers(service):
        listening = _listening(docker("exec", container, "cat", "/proc/net/tcp", "/proc/net/tcp6"))
        wanted = {TLS_PORTS[service]} if service in TLS_PORTS else set()
        assert listening == wanted


@pytest.fixture(scope="module")
def handshakes(stack: Stack) -> dict[str, dict[str, str]]:
    """Of what a worker reaches, from there; the portal, which it does not, from within."""
    others = [service for service in TLS_PORTS if service != "portal"]
    return {
        **stack.ask(stack.containers("worker")[0], HANDSHAKES, *others),
        **stack.ask(stack.containers("portal")[0], HANDSHAKES, "portal"),
    }


@pytest.mark.parametrize("service", TLS_PORTS)
def test_a_handshake_is_held_against_authority_name_and_age(
    service: str, handshakes: dict[str, dict[str, str]]
) -> None:
    """SEC-18, EML-13."""
    found = handshakes[service]
    assert found["verified"] in ("TLSv1.2", "TLSv1.3")
    assert found["other_name"].startswith("Hostname mismatch")
    assert re.search("local issuer|self-signed", found["other_authority"])
    # protocol_version (RFC 8446 section 6.2); asyncio hangs up. The same offer of 1.2 is taken.
    refused = "alert 70" if service in ("postgres", "redis") else "hung up"
    assert (found["old"], found["next"]) == (refused, "record 22")


@pytest.mark.parametrize("service", TLS_PORTS)
def test_who_speaks_plainly_is_refused(service: str, handshakes: dict[str, dict[str, str]]) -> None:
    said = handshakes[service]["plain"]
    if service == "postgres":
        assert "no pg_hba.conf entry" in said
        assert "no encryption" in said
    elif service == "mail":
        assert "530 " in said.splitlines()[-1]
    else:  # hung up on, with TLS's own alert or none
        assert said in ("", "(reset)") or said.startswith("\x15\x03"), said


def test_a_worker_knows_neither_airflows_database_nor_the_key_that_signs(stack: Stack) -> None:
    secrets = _secrets(stack)
    for container in stack.containers("worker"):
        environment = "\n".join(stack.inspect(container)["Config"]["Env"])
        for name in ("AIRFLOW_DB_PASSWORD", "STORE_OWNER_DB_PASSWORD", "POSTGRES_ADMIN_PASSWORD",
                     "AIRFLOW_FERNET_KEY", "AIRFLOW_API_SECRET_KEY", "ADMIN_PASSWORD",
                     "LOADER_DB_PASSWORD", "PORTAL_DB_PASSWORD"):  # fmt: skip
            assert secrets[name] not in environment, name
        assert "SQL_ALCHEMY_CONN" not in environment
        assert docker("exec", container, "sh", "-c", "ls /tls/jwt; true").strip() == ""
        # Nor with a password of its own: no line of pg_hba.conf lets the role in.
        asked = ("import os, psycopg; psycopg.connect(os.environ['REENGAGE_STORE_URL']"
                 ".replace('+psycopg', '').replace('/store?', '/airflow?'))")  # fmt: skip
        told = stack.run(container, f'python -c "{asked}"')
        assert "no pg_hba.conf entry" in told


@pytest.fixture(scope="module")
def restored(
    stack: Stack, played: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The store put aside and brought back, by the commands of deploy/compose/README.md; the
    journals are lost with it, and one more patient has opted out since the backup.
    """
    stack.compose("run", "-T", "--rm", "backup")
    letters = stack.copy(
        "mail", "/var/lib/reengage/mail", tmp_path_factory.mktemp("since") / "mail"
    )
    _opt_out(stack, list(mailbox.Maildir(letters, create=False))[-1])
    _reengage(stack, "ledger", "checkpoint")
    _reengage(stack, "ledger", "export", "/var/lib/reengage/archive")
    before = {table: _count(stack, "true", table) for table in KEPT}
    evidence = tmp_path_factory.mktemp("evidence") / "mail"
    for path in (stack.copy("mail", "/var/lib/reengage/mail", evidence), *evidence.rglob("*")):
        path.chmod(0o755)  # the container's user reads it
    stack.compose("stop", "worker", "portal", "portal-tend", "api-server")
    stack.compose("exec", "-T", "postgres", "bash", "/etc/reengage/new-store.sh")
    stack.compose("run", "-T", "--rm", "backup", "sh", "-c", "rm /var/lib/reengage/journal/*.jsonl")
    told = stack.compose("run", "-T", "--rm", "-e", f"REENGAGE_ACTOR={PERSON}",
                         "-v", f"{evidence}:/evidence:ro", "backup",
                         "python", "-m", "reengage", "restore", "/backups/dumps",
                         "--keys", "/backups/keys", "--evidence", "/evidence")  # fmt: skip
    stack.compose("up", "-d", "--scale", f"worker={WORKERS}")
    stack.client.wait_until_healthy()
    return {"told": told, "before": before}


def test_a_store_that_was_lost_comes_back_from_the_backup(
    stack: Stack, restored: dict[str, Any]
) -> None:
    """From here on the store that was there first is put aside."""
    assert restored["told"].startswith("restored ")
    before = restored["before"]
    assert {table: _count(stack, "true", table) for table in before} == before
    assert _count(stack, "true", "restoration") == 0  # the evidence leaves nothing in doubt
    assert _reengage(stack, "ledger", "verify").startswith("the ledger is sound")


def test_after_a_restore_a_campaign_sends_nothing_until_somebody_lets_it_go_on(
    stack: Stack, restored: dict[str, Any], tmp_path: Path
) -> None:
    """And then what waited, each letter once. The last test here: it sends more letters."""
    assert "every campaign is paused" in restored["told"]
    listed = json.loads(_reengage(stack, "campaign", "list", "--json"))
    assert [one["campaign"] for one in listed if not one["paused"]] == []
    mine = f"campaign = '{AFTERWARDS.removeprefix('reengage_')}'"
    _run_to_its_end(stack, AFTERWARDS)
    waiting = _count(stack, f"{mine} AND state = 'deferred' AND reason = 'campaign_paused'")
    assert waiting > 0
    assert _count(stack, f"{mine} AND {SENT}") == 0

    _reengage(stack, "campaign", "resume", AFTERWARDS.removeprefix("reengage_"),
              "--because", "looked at the restored store")  # fmt: skip
    _run_to_its_end(stack, AFTERWARDS)
    letters = stack.rows("store", f"SELECT message_id FROM letter WHERE {SENT}")
    sent = {one["message_id"] for one in letters}
    found = Counter(_message_ids(stack.copy("mail", "/var/lib/reengage/mail", tmp_path / "mail")))
    left = _count(stack, f"{mine} AND {SENT}")
    print(f"after the restore {waiting} letters waited; {left} left when the campaign was resumed")
    assert _count(stack, f"{mine} AND state NOT IN ('sent', 'withheld')") == 0
    assert left > 0
    assert [one for one, times in found.items() if times > 1] == []
    assert sent <= set(found)
    assert _reengage(stack, "ledger", "verify").startswith("the ledger is sound")


def _run_to_its_end(stack: Stack, dag: str) -> None:
    client, dag_run_id = stack.client, f"test__{uuid4()}"
    client.wait_for_dag(dag)
    client.unpause(dag)
    client.trigger(dag, dag_run_id, {})
    _wait_for_the_end(stack, dag, dag_run_id)
    assert client.run_state(dag, dag_run_id) == "success", client.reasons(dag, dag_run_id)


def _wait_for_the_end(stack: Stack, dag: str, dag_run_id: str) -> None:
    """On a busy machine the api-server does not answer every question within the client's time."""

    def is_over() -> bool:
        try:
            return stack.client.run_state(dag, dag_run_id) not in ("queued", "running")
        except HTTPError:
            raise
        except (TimeoutError, URLError):
            return False

    wait_until(is_over, seconds=RUN_SECONDS, what=f"the end of a run of {dag}", every=2)


def _reengage(stack: Stack, *arguments: str) -> str:
    """What our own command says in a worker, where an operator runs it."""
    worker = stack.containers("worker")[0]
    return docker("exec", "-e", f"REENGAGE_ACTOR={PERSON}", worker, "python", "-m", "reengage",
                  *arguments)  # fmt: skip


def _count(stack: Stack, where: str, table: str = "letter") -> int:
    found = stack.rows("store", f"SELECT count(*) AS n FROM {table} WHERE {where}")
    return int(found[0]["n"])


def _entries(stack: Stack, kind: str) -> int:
    found = stack.rows("store", f"SELECT count(*) AS n FROM ledger_entry WHERE kind = '{kind}'")
    return int(found[0]["n"])


def _opt_out(stack: Stack, letter: mailbox.MaildirMessage) -> None:
    """By the letter's own link, as a mail program does it."""
    [path] = re.findall(r"<https://[^/>]+(/opt-out/[a-z2-7]{32})>", str(letter["List-Unsubscribe"]))
    assert stack.press(path, {"List-Unsubscribe": "One-Click"}) == "unsubscribed\n"


def _search(places: str) -> str:
    """A script that looks for a patient's address in those of the places that are there."""
    return (
        f'for one in {places}; do [ -d $one ] && set -- "$@" $one; done;'
        f" grep -rlaE '{ADDRESS.pattern}' \"$@\"; echo exit $?"
    )


def _exit(said: str) -> int:
    return int(said.rpartition("exit ")[2])


def _hostname(stack: Stack, container: str) -> str:
    return str(stack.inspect(container)["Config"]["Hostname"])


def _message_ids(maildir: Path) -> list[str]:
    return [str(one["Message-ID"]) for one in mailbox.Maildir(maildir, create=False)]


def _listening(tables: str) -> set[int]:
    """Ports on which something listens on other addresses than the loopback."""
    found = set()
    for line in tables.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            address, _, port = fields[1].partition(":")
            loopback = address in ("0100007F", "00000000000000000000000001000000",
                                   "0B00007F")  # fmt: skip
            if not loopback:
                found.add(int(port, 16))
    return found


def _secrets(stack: Stack) -> dict[str, str]:
    from reengage.deploy import env_file

    return env_file.read(Path(stack.variables["ENV_FILE"]))
