"""The page's example of LDAP, word for word: its settings, and a log-in where there is a directory.

python-ldap is no part of the lock's environment (it has no wheels; docs/people.md says how it comes
into the image), and slapd is Debian's. Where either is missing the log-ins are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from reengage.embedded.processes import free_port, wait_until
from simulators.certificates import good

from log_in.conftest import PASSWORD
from log_in.running import Airflow, Server
from log_in.test_limit import by_form, by_token, let_in
from log_in.test_oidc import example

pytestmark = pytest.mark.long

ROOT = Path(os.environ.get("REENGAGE_SLAPD") or "/")
"""Where Debian's packages slapd and libldap-2.5-0 are unpacked."""
SLAPD = shutil.which("slapd", path=f"{ROOT}/usr/sbin")
SUFFIX = "dc=clinic,dc=example,dc=org"
SERVICE = f"cn=airflow,ou=services,{SUFFIX}"
SERVICE_PASSWORD = "the service's own"
_CONFIG = """
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {base}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
database mdb
suffix "{suffix}"
directory {base}/db
overlay memberof
access to attrs=userPassword by anonymous auth
access to * by dn.exact="{service}" read
"""
_PEOPLE = {"lena": "compliance", "paul": "gardeners"}


def entries() -> str:
    """The directory's, as LDIF: the service, two people, a group for each."""
    made = [f"dn: {SUFFIX}\nobjectClass: domain\ndc: clinic"]
    made += [f"dn: ou={one},{SUFFIX}\nobjectClass: organizationalUnit\nou: {one}"
             for one in ("people", "services", "groups")]  # fmt: skip
    made.append(
        f"dn: {SERVICE}\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\n"
        f"cn: airflow\nuserPassword: {SERVICE_PASSWORD}"
    )
    for name, group in _PEOPLE.items():
        at, of = f"uid={name},ou=people,{SUFFIX}", f"cn={group},ou=groups,{SUFFIX}"
        made.append(f"dn: {at}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Example\n"
                    f"givenName: {name}\nmail: {name}@clinic.example.org\nmemberOf: {of}\n"
                    f"userPassword: {PASSWORD}")  # fmt: skip
        made.append(f"dn: {of}\nobjectClass: groupOfNames\ncn: {group}\nmember: {at}")
    return "\n\n".join(made) + "\n"


@dataclass
class Directory:
    """A slapd on this machine that speaks TLS."""

    url: str
    ca: Path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    if importlib.util.find_spec("ldap") is None or not SLAPD:
        pytest.skip("takes python-ldap (requirements-ldap.txt) and Debian's slapd")
    base = tmp_path_factory.mktemp("ldap")
    (base / "db").mkdir()
    files = good(base)
    config, ldif = base / "slapd.conf", base / "people.ldif"
    config.write_text(
        _CONFIG.format(root=str(ROOT).rstrip("/"), base=base, suffix=SUFFIX, service=SERVICE,
                       ca=files.ca, cert=files.cert, key=files.key), encoding="utf-8",
    )  # fmt: skip
    ldif.write_text(entries(), encoding="utf-8")
    env = {**os.environ, "LD_LIBRARY_PATH": f"{ROOT}/usr/lib/x86_64-linux-gnu"}
    added = subprocess.run(
        [SLAPD, "-T", "add", "-f", config, "-l", ldif], env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    port = free_port()
    command = [SLAPD, "-f", config, "-h", f"ldaps://127.0.0.1:{port}/", "-d", "0"]
    with subprocess.Popen(command, env=env) as process:
        try:
            wait_until(lambda: _answers(port), seconds=30, what="slapd")
            # Not localhost, for which libldap wants the machine's own name in the certificate.
            yield Directory(f"ldaps://127.0.0.1:{port}", files.ca)
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served(
    airflow: Airflow, directory: Directory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    config = tmp_path_factory.mktemp("ldap_airflow") / "webserver_config.py"
    written = example("LDAP").replace("ldaps://ldap.clinic.example.org", directory.url)
    config.write_text(written, encoding="utf-8")
    with airflow.serving(
        AIRFLOW__FAB__CONFIG_FILE=str(config), LDAP_BIND_PASSWORD=SERVICE_PASSWORD,
        LDAPTLS_CACERT=str(directory.ca),
    ) as running:  # fmt: skip
        yield running


def test_every_setting_of_the_example_is_one_that_fab_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Flask takes a misspelt one without a word."""
    monkeypatch.setenv("LDAP_BIND_PASSWORD", SERVICE_PASSWORD)
    settings: dict[str, Any] = {}
    exec(compile(example("LDAP"), "people.md", "exec"), settings)
    found = importlib.util.find_spec("airflow.providers.fab")
    assert found
    assert found.submodule_search_locations
    source = Path(found.submodule_search_locations[0]) / "auth_manager/security_manager/override.py"
    read = set(re.findall(r"\bAUTH_[A-Z_]+", source.read_text(encoding="utf-8")))
    named = {name for name in settings if name.startswith("AUTH_") and name != "AUTH_LDAP"}
    assert len(named) >= 10
    assert named <= read


def test_a_group_of_the_directory_is_a_role_at_the_form_and_for_a_token(
    served: Server, airflow: Airflow
) -> None:
    assert let_in(by_form(served, "lena", PASSWORD, browser="lena"))
    assert airflow.roles_of("lena") == {"Compliance Officer"}
    token = by_token(served, "lena", PASSWORD).json["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    for path in ("", "compliance"):
        assert served.ask("GET", f"/reengage/{path}", headers=bearer, browser="x").status == 200


def test_another_group_is_no_role_and_a_wrong_password_no_log_in(
    served: Server, airflow: Airflow
) -> None:
    assert let_in(by_form(served, "paul", PASSWORD))
    assert airflow.roles_of("paul") == set()
    assert not let_in(by_form(served, "lena", "a guess"))
    assert by_token(served, "lena", "a guess").status == 401


def test_guesses_at_the_directory_are_counted_however_the_name_is_written(served: Server) -> None:
    """A directory does not mind blanks and case (RFC 4518)."""
    for number in range(10):
        by_token(served, f"{' ' * number}PAUL", "a guess")
    assert by_token(served, "paul", PASSWORD).status == 429
