"""Send: offer each letter of a chunk to the campaign's vendor once, and record what became of it.

Claim, attempt, settle (outbox.py). Before each batch the vendor's agreement is checked again, the
warehouse is asked once more for these patients, and the claim itself reads our own opt-outs and
suppressions. Refuses cleartext, an unlisted host, a lapsed agreement; outside the campaign's send
window the letters wait. A dry run and a replay never open a connection: their letters go to a
rehearsal Maildir, where one is configured. A relay that fails leaves every letter as it was.
"""

from __future__ import annotations

import mailbox
from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from reengage import relay
from reengage.pipeline import outbox
from reengage.pipeline.extract import consent_purposes
from reengage.pipeline.plan import Chunk
from reengage.pipeline.preflight import endpoint
from reengage.pipeline.run import Run
from reengage.sql import load_sql


def send(run: Run, chunk: Chunk) -> dict[str, int]:
    """Send the chunk; gives the number of letters by state. Repeating it sends nothing twice.

    Raises RelayError when the relay cannot be reached over verified TLS, VendorError when its
    agreement has lapsed; the letters not yet offered are then as they were before.
    """
    number = chunk["number"]
    with run.store.connect() as connection:
        outbox.recover(connection, run, number)
        connection.commit()
        if run.mode != "live":
            _rehearse(connection, run, number)
        elif not in_send_window(run):
            outbox.defer_open(connection, run, number, "outside_send_window")
        else:
            _Sender(run, number, connection).run_all()
        connection.commit()
        return _counts(connection, run, number)


def in_send_window(run: Run) -> bool:
    """Whether the campaign may send at this instant, in its own time zone."""
    local = run.settings.now().astimezone(ZoneInfo(run.campaign.time_zone)).time()
    window = run.campaign.send_window
    return window.opens <= local < window.closes


class _Sender:
    """One try at one chunk: a warm connection to the relay, one token on all its claims."""

    def __init__(self, run: Run, chunk: int, connection: Connection) -> None:
        self._run = run
        self._chunk = chunk
        self._connection = connection
        self._token = uuid4()
        self._relay: relay.RelayConnection | None = None

    def run_all(self) -> None:
        since = outbox.clock(self._connection)
        try:
            while letters := outbox.open_letters(self._connection, self._run, self._chunk, since):
                for queued in self._claim(letters):
                    self._offer(queued)
        except BaseException:
            # What was claimed and not offered is open again, for the retry or the next run.
            self._connection.rollback()
            outbox.release(self._connection, self._run, self._chunk, self._token)
            self._connection.commit()
            raise
        finally:
            if self._relay is not None:
                self._relay.close()

    def _claim(self, letters: Sequence[outbox.Queued]) -> list[outbox.Queued]:
        self._ensure_relay()  # before the claim: a relay that is down claims nothing
        read_at = outbox.clock(self._connection)
        denied = last_look(self._run, [one.letter.patient_key for one in letters])
        claimed = outbox.claim(
            self._connection,
            self._run,
            letters,
            token=self._token,
            denied=denied,
            warehouse_read_at=read_at,
        )
        self._connection.commit()
        return claimed

    def _offer(self, queued: outbox.Queued) -> None:
        connection = self._ensure_relay()
        try:
            outcome = connection.send(
                self._run.practice.from_address,
                queued.letter.recipient,
                queued.letter.message,
                envid=queued.letter_id.hex,
                on_attempt=lambda: self._mark_attempted(queued.letter_id),
            )
        except outbox.ClaimLostError:
            self._connection.rollback()
            return
        reason = None if outcome.kind == "sent" else outcome.reason
        evidence = {**asdict(connection.evidence), **asdict(outcome)}
        outbox.settle(
            self._connection, queued.letter_id, self._token, outcome.kind, reason, evidence
        )
        self._connection.commit()

    def _mark_attempted(self, letter_id: UUID) -> None:
        outbox.mark_attempted(self._connection, letter_id, self._token)
        self._connection.commit()

    def _ensure_relay(self) -> relay.RelayConnection:
        """The warm connection, opened afresh when it died; never without an agreement in force."""
        if self._relay is None or not self._relay.alive:
            way = endpoint(self._run)
            self._relay = relay.connect(way.url, trust=way.trust)
        return self._relay


def last_look(run: Run, patient_keys: Sequence[str]) -> dict[str, str]:
    """Patients who may no longer be written to, with the first reason, as the warehouse is now."""
    with run.warehouse.connect() as connection:
        found = connection.execute(
            text(load_sql(run.settings.home, "extract/last_look.sql")),
            {
                "patient_keys": list(patient_keys),
                "as_of": run.day,
                "now": run.settings.now(),
                "slug": run.campaign.slug,
                "consent_purposes": consent_purposes(run.campaign),
            },
        )
        return {row.patient_key: row.reasons[0] for row in found}


def _rehearse(connection: Connection, run: Run, chunk: int) -> None:
    since = outbox.clock(connection)
    directory = run.settings.rehearsal_maildir
    box = mailbox.Maildir(directory, create=True) if directory else None
    while letters := outbox.open_letters(connection, run, chunk, since):
        if box is not None:
            for queued in letters:
                box.add(queued.letter.message)
        outbox.mark_rehearsed(connection, letters)
        connection.commit()


def _counts(connection: Connection, run: Run, chunk: int) -> dict[str, int]:
    found = connection.execute(
        text(
            "SELECT state, count(*) AS letters FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk GROUP BY state ORDER BY state"
        ),
        {"run_id": run.run_id, "chunk": chunk},
    )
    return {row.state: row.letters for row in found}
