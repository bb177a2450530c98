"""The restore drill: a practice whose store is backed up under way, is lost, and comes back.

drill = Drill(practice, server, hostile, base, letters=6)
drill.until_the_backup(); drill.after_it(); drill.lose()
drill.restore_with_evidence()

`tell` hears each step as it happens: docs/backup.md shows what it hears.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from uuid import UUID, uuid4

from daily import Practice
from reengage import suppressions
from reengage.cli.main import main
from reengage.embedded.postgres import Postgres
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from simulators.smtp import HostileRelay
from sqlalchemy import create_engine, make_url, text

CAMPAIGN = "appointment_reminder"
DAY = timedelta(days=1)
NEW = ("n0", "n1")
"""Patients whose letters are composed after the backup, and who are in the ledger's archive."""
NEWER = ("m0", "m1")
"""Patients whose letters left after the last checkpoint: only the relay knows."""


@dataclass
class Drill:
    """What happens, in this order, and what a test asks of it afterwards."""

    practice: Practice
    server: Postgres
    relay: HostileRelay
    base: Path
    letters: int
    tell: Callable[[str], object] = lambda line: None
    under_way: UUID | None = None
    before: list[dict[str, object]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.base / "backups"

    @property
    def keys(self) -> Path:
        return self.base / "key-backup"

    def command(self, *arguments: str, status: int = 0) -> str:
        """Run a command as an operator does, and tell it with what it said."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            assert main(list(arguments)) == status, said.getvalue()
        self.tell(f"$ python -m reengage {shlex.join(arguments)}")
        for line in said.getvalue().splitlines():
            self.tell(line)
        return said.getvalue()

    def until_the_backup(self) -> None:
        """One run is over; of the next one half the letters have left when the backup is taken."""
        patients = [f"p{number}" for number in range(self.letters)]
        for patient in patients:
            self.practice.world.patient(patient)
        self._whole("medication_reminder", "over before the backup")
        self.audited()
        run = self.practice.open(CAMPAIGN)
        chunks = self.practice.hurry(run)
        self.under_way = run.run_id
        half = len(self.relay.letters) + self.letters // 2
        self.relay.at("dot", lambda: self._back_up() if len(self.relay.letters) == half else None)
        assert sum(send(run, chunk)["sent"] for chunk in chunks) == self.letters
        self.relay.at("dot", lambda: None)
        assert list(self.store.glob("[0-9]*"))
        self.tell(f"# the run that was under way sent the rest, {self.letters} letters in all")
        settle(run)
        assert shred(run) >= 1
        self.tell("# and its data key was destroyed")

    def after_it(self) -> None:
        """What a backup knows nothing of."""
        for patient in NEW:
            self.practice.world.patient(patient)
        self._whole(CAMPAIGN, "composed and sent after the backup")
        self.command("revoke", "--patient", "p0", "--channel", "phone")
        self.command("opt-out", "--patient", "p1")
        self._suppress("p2")
        self.audited()
        for patient in NEWER:
            self.practice.world.patient(patient)
        self._whole(CAMPAIGN, "after the last checkpoint")
        self.before = self.practice.rows(
            "SELECT message_id, state FROM letter WHERE rehearsal IS NULL ORDER BY message_id"
        )

    def lose(self) -> None:
        """The store's database is gone; an empty one is in its place."""
        name = make_url(self.practice.settings.store_url).database
        engine = create_engine(self.server.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        self.tell("# the store is lost")

    def back_up(self, status: int = 0) -> str:
        return self.command(
            "backup", "--to", str(self.store), "--keys", str(self.keys), status=status
        )

    def restore(self, status: int = 0) -> str:
        return self.command("restore", str(self.store), "--keys", str(self.keys), status=status)

    def restore_with_evidence(self) -> str:
        """With what the relay delivered as evidence."""
        mailbox = self.base / "relay" / "new"
        mailbox.mkdir(parents=True, exist_ok=True)
        for number, letter in enumerate(self.relay.letters):
            (mailbox / str(number)).write_bytes(letter.content)
        return self.command(
            "restore", str(self.store), "--keys", str(self.keys), "--evidence", str(mailbox.parent)
        )

    def looked(self) -> None:
        """Somebody has looked, and lets the campaign go on."""
        self.command("campaign", "resume", CAMPAIGN, "--because", "looked at the unknown letters")

    def again(self, *, days: int = 0) -> tuple[Run, int]:
        """The campaign's next run; gives how many letters left."""
        practice = self.practice
        if days:
            practice = practice.at(practice.settings.now() + days * DAY)
        run, left = practice.open(CAMPAIGN), len(self.relay.letters)
        for chunk in practice.hurry(run):
            send(run, chunk)
        settle(run)
        return run, len(self.relay.letters) - left

    def twice(self) -> list[str]:
        """Message-IDs that the relay took more than once."""
        ids = [message_from_bytes(one.content)["Message-ID"] for one in self.relay.letters]
        return sorted(one for one in set(ids) if ids.count(one) > 1)

    def _back_up(self) -> None:
        self.tell("# the backup, while a run sends")
        self.back_up()

    def _whole(self, campaign: str, what: str) -> None:
        run = self.practice.open(campaign)
        sent = [send(run, chunk) for chunk in self.practice.hurry(run)]
        settle(run)
        shred(run)
        self.tell(f"# {campaign}: {sum(one['sent'] for one in sent)} letters sent, {what}")

    def audited(self) -> None:
        self.command("ledger", "checkpoint")
        self.command("ledger", "export", str(self.base / "archive"))

    def _suppress(self, patient: str) -> None:
        settings = self.practice.settings
        [row] = self.practice.rows(
            "SELECT recipient_id FROM letter WHERE patient = :p LIMIT 1",
            p=self.practice.open(CAMPAIGN, dry=True).pseudonym(patient),
        )
        one = suppressions.Suppression(
            uuid4(), "hard_bounce", datetime.now(UTC), recipient=str(row["recipient_id"])
        )
        engine = create_engine(settings.store_url)
        with engine.begin() as connection:
            suppressions.record(connection, settings.suppressions_path, [one])
        engine.dispose()
        self.tell("# an address bounced, and is suppressed")
