"""The secrets of docker-compose.yaml: made once, at random, into `.env`; and two files for others'.

`python -m reengage.deploy.env_file` writes what is missing and leaves every line that is there:
a second run changes nothing, a new version's new secret is added. Mode 0600, from the first octet
on; all three files are in .gitignore. Nothing is printed but names. Needs Python alone, so that an
operator can run it before anything is installed.

`--certificates` notes in `.env` how `prepare`, whose output it reads, calls the certificates.
Each service bears that name as a label, so that compose starts anew what shows older ones.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from reengage.errors import ConfigurationError, ReengageError

RANDOM = (
    "POSTGRES_ADMIN_PASSWORD", "AIRFLOW_DB_PASSWORD", "STORE_OWNER_DB_PASSWORD",
    "TASKS_DB_PASSWORD", "PAGES_DB_PASSWORD", "PORTAL_DB_PASSWORD", "REPORTER_DB_PASSWORD",
    "LOADER_DB_PASSWORD", "EXTRACTOR_DB_PASSWORD", "MARQUEZ_DB_PASSWORD", "REDIS_PASSWORD",
    "AIRFLOW_API_SECRET_KEY", "ADMIN_PASSWORD", "AUDITOR_PASSWORD",
)  # fmt: skip
"""256 bits each, in letters that a URL takes as they are."""
_SSL = "sslmode=verify-full&sslrootcert=/tls/ca/ca.pem"
_HEAD = "# Secrets of docker-compose.yaml, made by `make up`. Keep a copy where the keyring's is.\n"
_WORKER = """\
# Settings of the workers alone: vendors' relays, webhook secrets, mailboxes (docs/vendors.md,
# docs/responses.md), NAME=value. Going live: the vendor's relay instead of the mail sink.
REENGAGE_RELAY_URL_EMBEDDED=smtp://mail:2525
"""
_KEYS = """\
# What opens the key service of REENGAGE_KEY_SERVICE (docs/keys.md), for every service that has the
# keyring, NAME=value: VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT=/etc/reengage/trust/vault.pem (put
# into deploy/compose/trust); or AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""
CERTIFICATES = "TLS_CERTIFICATES"
_NAMED = re.compile(r"^certificates ([0-9a-f]{16})\r?$", re.MULTILINE)


def complete(found: Mapping[str, str]) -> dict[str, str]:
    """What is missing of the variables that docker-compose.yaml requires, newly made."""
    made = {name: secrets.token_urlsafe(32) for name in RANDOM if not found.get(name)}
    derived: dict[str, Callable[[], str]] = {
        # 32 octets, as Fernet wants its key.
        "AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "REENGAGE_WAREHOUSE_URL": lambda: (
            f"postgresql+psycopg://extractor:{({**found, **made})['EXTRACTOR_DB_PASSWORD']}"
            f"@postgres/warehouse?{_SSL}"
        ),
        "REENGAGE_VENDORS_FILE": lambda: "/opt/reengage/deploy/vendors.dev.yaml",
        "COMPOSE_PROFILES": lambda: "dev",
        "COMPOSE_PROJECT_NAME": lambda: "reengage",
    }
    # What was emptied on purpose (no profile, the image's own registry) stays empty.
    made |= {name: make() for name, make in derived.items() if name not in found}
    return made


def ensure(path: Path, worker: Path, keys: Path) -> list[str]:
    """Write what is missing; gives its names. Raises ConfigurationError for a file that is none."""
    found = read(path)
    made = complete(found)
    if made:
        old = path.read_text(encoding="utf-8") if path.exists() else _HEAD
        lines = "".join(f"{name}={value}\n" for name, value in made.items())
        _write(path, old if old.endswith("\n") else old + "\n", lines)
    path.chmod(0o600)
    for other, content in ((worker, _WORKER), (keys, _KEYS)):
        if not other.exists():
            _write(other, content, "")
            made[other.name] = ""
        other.chmod(0o600)
    return list(made)


def note_certificates(path: Path, told: str) -> None:
    """Write into `.env` how `prepare` called the certificates; other lines stay as they are.

    Raises ConfigurationError where it names none.
    """
    found = _NAMED.search(told)
    if not found:
        raise ConfigurationError(
            "the job `prepare` named no certificates; what it said is above, mend that first"
        )
    line = f"{CERTIFICATES}={found[1]}\n"
    if read(path).get(CERTIFICATES) == found[1]:
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [f"{one}\n" for one in lines if one.partition("=")[0] != CERTIFICATES]
    _write(path, "".join(kept), line)


def read(path: Path) -> dict[str, str]:
    """The variables of an env file; none of one that is not there."""
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError(
                f"{path} line {number} is no NAME=value; mend it, comments begin with #"
            )
        found[name] = value
    return found


def _write(path: Path, old: str, new: str) -> None:
    """Whole or not at all, and never readable by others."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(old + new)
    temporary.replace(path)


def main() -> int:
    """Complete the files of the checkout it is run in; the process's exit code."""
    parser = argparse.ArgumentParser(description="Make the secrets of docker-compose.yaml.")
    parser.add_argument("--file", type=Path, default=Path(".env"))
    parser.add_argument("--worker", type=Path, default=Path("deploy/compose/worker.env"))
    parser.add_argument("--keys", type=Path, default=Path("deploy/compose/keys.env"))
    parser.add_argument("--certificates", action="store_true", help="read what `prepare` said")
    options = parser.parse_args()
    try:
        if options.certificates:
            told = sys.stdin.read()
            sys.stdout.write(told)
            note_certificates(options.file, told)
            return 0
        made = ensure(options.file, options.worker, options.keys)
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if made:
        sys.stdout.write(f"made {', '.join(made)} ({options.file}, mode 0600)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
