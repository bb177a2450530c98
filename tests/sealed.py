"""A practice with an S/MIME identity, patients with certificates or without, a portal or none.

house.patient("p1")                       # without a certificate
house.certified("p2", reads=True)         # with one, and a client that reads what is sealed for it
house.with_portal().without_guarantee()   # what else there is to seal by
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from correspondents import Correspondents
from daily import Practice
from reengage.keys import open_keyring
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.practice import load_practice

CAMPAIGN = "medication_reminder"
PORTAL = "https://portal.prairie.example.org/m/"
CANARY = "Qanarymed"
"""Every medicine of these tests is called so, and nothing else is."""
OFFERED = ("SIZE 1000000", "8BITMIME", "DSN", "PIPELINING", "REQUIRETLS")


@dataclass
class House:
    """A practice with an S/MIME identity, whose patients may have certificates."""

    practice: Practice
    correspondents: Correspondents
    home: Path

    def with_portal(self, url: str = PORTAL) -> House:
        path = self.home / "practice.yaml"
        entry = f"portal: {{url: {url}, valid_days: 30}}\n"
        path.write_text(path.read_text(encoding="utf-8") + entry, encoding="utf-8")
        load_practice.cache_clear()  # the next task is another process
        return self

    def without_portal(self) -> House:
        path = self.home / "practice.yaml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("portal:")]
        path.write_text("".join(kept), encoding="utf-8")
        load_practice.cache_clear()  # the next task is another process
        return self

    def without_guarantee(self) -> House:
        return self._guaranteed("")

    def by_requiretls(self) -> House:
        """The entry says that REQUIRETLS is enforced; whether it is offered is the relay's."""
        return self._guaranteed(
            "    tls_to_recipients:\n      by: requiretls\n      enforced: tried by the operator\n"
        )

    def _guaranteed(self, entry: str) -> House:
        path = self.home / "vendors.yaml"
        content = path.read_text(encoding="utf-8")
        found = re.sub(r"    tls_to_recipients:\n(      .*\n)+", entry, content)
        assert found != content
        path.write_text(found, encoding="utf-8")
        return self

    def patient(
        self, key: str, *, certificate: str | None = None, reads: bool | None = None
    ) -> None:
        self.practice.world.patient(
            key,
            contact={
                "smime_certificate": certificate,
                "reads_authenticated_encryption": reads,
            },
            medication={"name": f"{CANARY} {key}"},
        )

    def certified(self, key: str, **more: Any) -> None:
        self.patient(key, certificate=self.correspondents.certify(f"{key}@example.org"), **more)

    def run(self) -> Run:
        """Up to letters that are taken for checked."""
        run = self.practice.open(CAMPAIGN)
        self.practice.hurry(run)
        return run

    def checked(self) -> Run:
        """Up to letters that every suite has passed."""
        run = self.practice.open(CAMPAIGN)
        self.practice.compose(run)
        return run

    def send(self, run: Run) -> None:
        send(run, {"number": 0, "first": 0, "last": 0})

    def seals(self) -> dict[str, tuple[str, str]]:
        run = self.practice
        found = run.rows("SELECT patient, seal, seal_basis FROM letter ORDER BY letter_id")
        return {str(row["patient"]): (str(row["seal"]), str(row["seal_basis"])) for row in found}

    def outcomes(self) -> dict[str, str]:
        found = self.practice.rows("SELECT patient, coalesce(reason, state) AS what FROM letter")
        names = {self.name(f"p{n}"): f"p{n}" for n in range(9)}
        return {names[str(row["patient"])]: str(row["what"]) for row in found}

    def name(self, key: str) -> str:
        return open_keyring(self.practice.settings.keyring).pseudonym("patient", key)


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=SMTP)


def said(message: EmailMessage) -> str:
    """Everything that a reader of the message sees."""
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]
    return "\n".join([str(message["Subject"]), *map(str, parts)])
