"""A portal that is up, in a process of its own, and letters that wait there.

They came there as any letter does: composed, sealed, and sent over TLS to the embedded relay; what
a patient has of one is read from its notice in the relay's Maildir.

with open_portal(server, relay_process, directory) as portal:
    one = portal.next()                     # a letter that no other test touches
    portal.open(one)                        # what its patient does: answers, fetches, unlocks
    portal.client.get(f"/m/{one.message_id}")
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from itertools import count
from mailbox import Maildir
from pathlib import Path
from typing import Any

import httpx
from daily import Practice
from databases import create_database
from reengage.embedded.certificates import Certificates, issue
from reengage.embedded.home import copy_home
from reengage.embedded.postgres import Postgres, ensure_member
from reengage.embedded.processes import free_port, listens, wait_until
from reengage.embedded.relay import RelayProcess
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.portal import keeper
from reengage.practice import load_practice
from reengage.sealing import portal as sealing
from reengage.settings import HOME
from sealed import CANARY, PORTAL, parsed, said
from simulators.certificates import good
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, make_url, text
from world import NOW, World

CAMPAIGN = "medication_reminder"
ROLE = "patient_portal"
BIRTH, ZIP = "1970-01-01", "68102"
RIGHT = {"birth_date": BIRTH, "second": ZIP}
WRONG = {"birth_date": "1971-02-03", "second": ZIP}
_UNKNOWN = count()


@dataclass(frozen=True)
class Waiting:
    """A letter at the portal, by what its reader has: the notice in the mailbox."""

    key: str
    patient: str
    link: str
    message_id: str
    secret: bytes = field(repr=False)
    fragment: str
    opt_out: str
    """Path of its opt-out link."""


@dataclass
class Portal:
    """The service, and the practice behind it."""

    practice: Practice
    run: Run
    relay: HostileRelay
    letters: list[Waiting]
    port: int
    certificates: Certificates
    process: subprocess.Popen[bytes]
    log: Path
    used: Iterator[Waiting] = field(init=False)

    def __post_init__(self) -> None:
        self.used = iter(self.letters)
        self.clients = count(1)
        self.context = ssl.create_default_context(cafile=str(self.certificates.ca))

    def next(self) -> Waiting:
        """A letter that no other test touches."""
        return next(self.used)

    def client(self) -> httpx.Client:
        """Somebody at an address of the network of their own."""
        number = next(self.clients)
        return httpx.Client(
            base_url=f"https://localhost:{self.port}",
            verify=self.context,
            timeout=30,
            headers={"x-forwarded-for": f"203.0.{number // 250}.{number % 250}"},
        )

    def answer(
        self, message_id: str, body: dict[str, str], client: httpx.Client | None = None
    ) -> httpx.Response:
        with client or self.client() as asked:
            return asked.post(f"/api/letters/{message_id}/sessions", json=body)

    def session(self, one: Waiting) -> dict[str, str]:
        """Headers of a session of this letter's."""
        answered = self.answer(one.message_id, RIGHT)
        assert answered.status_code == 201, answered.text
        return {"authorization": f"Bearer {answered.json()['session']}"}

    def fetch(self, one: Waiting, session: dict[str, str], what: str = "ciphertext") -> Any:
        with self.client() as client:
            return client.get(f"/api/letters/{one.message_id}/{what}", headers=session)

    def open(self, one: Waiting) -> sealing.Page:
        """What the page of a patient does."""
        sealed = self.fetch(one, self.session(one))
        assert sealed.status_code == 200
        return sealing.pick_up(sealed.content, key=one.secret, message_id=one.message_id)

    def say(self, one: Waiting, session: dict[str, str], **wanted: object) -> httpx.Response:
        with self.client() as client:
            return client.post(
                f"/api/letters/{one.message_id}/preferences", json=wanted, headers=session
            )

    def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        return self.practice.rows(statement, **parameters)

    def without_waiting(self, message_id: str) -> None:
        """Time passes: the next answer is looked at."""
        self.execute(
            "UPDATE portal_guess SET wait_until = '1970-01-01Z' WHERE message_id = :m", m=message_id
        )

    def execute(self, statement: str, **parameters: object) -> None:
        engine = create_engine(self.practice.settings.store_url)
        with engine.begin() as connection:
            connection.execute(text(statement), parameters)
        engine.dispose()

    def lock(self, message_id: str) -> httpx.Response:
        """Five wrong answers; gives what the last one was told."""
        answered = [self._patiently(message_id) for _ in range(5)]
        return answered[-1]

    def _patiently(self, message_id: str) -> httpx.Response:
        self.without_waiting(message_id)
        return self.answer(message_id, WRONG)

    def tend(self) -> keeper.Tended:
        return keeper.tend(self.practice.settings)

    def reasons(self) -> dict[str, str]:
        """Why a letter was withheld, by the patient's key."""
        names = {one.patient: one.key for one in self.letters}
        found = self.rows("SELECT patient, reason FROM letter WHERE reason IS NOT NULL")
        return {names[row["patient"]]: row["reason"] for row in found}

    def ledger(self, of: str, patient: str) -> list[dict[str, Any]]:
        """Bodies of the patient's access records of this kind, the oldest first."""
        found = self.rows(
            "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' AS body FROM ledger_entry"
            " WHERE kind = 'access' ORDER BY index"
        )
        bodies = [row["body"] for row in found]
        return [one for one in bodies if one["of"] == of and one["detail"]["patient"] == patient]


def unknown_id() -> str:
    """An id of the right shape that no letter has."""
    return f"{next(_UNKNOWN):022}"


@contextmanager
def open_portal(
    server: Postgres, post: RelayProcess, directory: Path, patients: int = 40, more: str = ""
) -> Iterator[Portal]:
    """A practice whose letters wait at the portal, and the portal's process.

    `post` takes the letters; what the practice and the portal send from then on is the hostile
    relay's, which can say no.
    """
    home = _home(directory / "home", more)
    store_url = create_database(server, "store")
    portal_url = server.url(str(make_url(store_url).database), ROLE)
    ensure_member(server, ROLE, "reengage_portal")
    with (
        World.create(create_database(server)) as world,
        HostileRelay(good(directory / "certificates")) as relay,
    ):
        for number in range(patients):
            key = f"p{number:02}"
            world.patient(key, medication={"name": f"{CANARY} {key}"})
        practice = Practice.create(world, store_url, home, directory, relay)
        run, arrived = _sent(practice, post)
        letters = sorted((_waiting(run, one) for one in arrived), key=lambda x: x.key)
        assert len(letters) == patients
        certificates = _certificates(directory / "tls")
        log = directory / "portal.log"
        port = free_port()
        with _process(practice, portal_url, port, certificates, log) as process:
            yield Portal(practice, run, relay, letters, port, certificates, process, log)


def _home(directory: Path, more: str) -> Path:
    home = copy_home(HOME, directory)
    entry = f"portal: {{url: {PORTAL}, valid_days: 30, vendor: embedded{more}}}\n"
    practice = home / "practice.yaml"
    practice.write_text(practice.read_text(encoding="utf-8") + entry, encoding="utf-8")
    vendors = home / "vendors.yaml"
    content = vendors.read_text(encoding="utf-8")
    found = re.sub(r"    tls_to_recipients:\n(      .*\n)+", "", content)
    assert found != content
    vendors.write_text(found, encoding="utf-8")
    load_practice.cache_clear()
    return home


def _sent(practice: Practice, post: RelayProcess) -> tuple[Run, list[bytes]]:
    """A run whose letters `post` took, and their files in its Maildir."""
    relays = {"embedded": post.url}
    settings = replace(practice.settings, relays=relays, relay_trust=post.ca)
    run = replace(practice, settings=settings).open(CAMPAIGN)
    box = Maildir(post.maildir, create=False)
    before = set(box.keys())  # what other tests have sent
    for chunk in replace(practice, settings=settings).hurry(run):
        send(run, chunk)
    return run, [box.get_bytes(key) for key in set(box.keys()) - before]


def _waiting(run: Run, content: bytes) -> Waiting:
    notice = parsed(content)
    key = str(notice["To"]).partition("@")[0]
    [link] = set(re.findall(re.escape(PORTAL) + r"[\w#-]+", said(notice)))
    named = sealing.key_of(link, portal_url=PORTAL)
    assert named is not None
    [opt_out] = re.findall(r"<https://[^/]+(/opt-out/[^>]+)>", str(notice["List-Unsubscribe"]))
    return Waiting(
        key, run.pseudonym(key), link, named[0], named[1], link.partition("#")[2], opt_out
    )


def _certificates(directory: Path) -> Certificates:
    directory.mkdir(parents=True)
    files = Certificates.within(directory)
    now = datetime.now(UTC)
    names = ("localhost", "portal.prairie.example.org")
    issue(files, names=names, begins=now - timedelta(hours=1), ends=now + timedelta(days=2))
    return files


@contextmanager
def _process(
    practice: Practice, store_url: str, port: int, certificates: Certificates, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    variables = {
        "HOME": practice.settings.home, "STORE_URL": store_url,
        "KEYRING": practice.settings.keyring, "PINNED_NOW": NOW.isoformat(),
    }  # fmt: skip
    environment = {f"REENGAGE_{name}": str(value) for name, value in variables.items()}
    command = [
        sys.executable, "-m", "reengage", "portal", "--port", str(port),
        "--certificate", str(certificates.cert), "--key", str(certificates.key),
        "--behind-proxy", "127.0.0.1",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        wait_until(
            lambda: process.poll() is not None or listens(port),
            seconds=60, what=f"the portal, see {log}", every=0.05,
        )  # fmt: skip
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def confirmation(content: bytes) -> str:
    """The path of the link in a message that asks for an address to be confirmed."""
    message = message_from_bytes(content)
    body = message.get_payload(decode=True).decode()
    [path] = re.findall(r"https://portal\.prairie\.example\.org(/confirm/\S+)", body)
    return path
