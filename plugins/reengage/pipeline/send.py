"""Send: offer each letter of a chunk to the campaign's vendor once, and record what became of it.

Claim, attempt, answer, settle (outbox.py, attempts.py). Before each batch the vendor's agreement is
checked again, the warehouse is asked once more for these patients, and the claim itself reads our
own opt-outs and suppressions; what is not offered within a minute of that is claimed anew. A letter
goes only while the send window is open where its patient lives (window.py); the others wait, and
who sends is told when to come back for them. Refuses cleartext, an unlisted host, a lapsed
agreement. A dry run and a replay never open a connection: their letters go to a rehearsal Maildir,
where one is configured. A relay or a warehouse that fails leaves every letter as it was; SIGTERM
ends it between two letters (stopping.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from reengage import refusals, relay, suppressions
from reengage.errors import StoreError
from reengage.ledger.owed import pay
from reengage.pipeline import attempts, breaker, deposits, outbox, pacing, restored, window
from reengage.pipeline.facts import disclosed
from reengage.pipeline.last_look import last_look
from reengage.pipeline.plan import Chunk
from reengage.pipeline.preflight import endpoint
from reengage.pipeline.rehearse import rehearse
from reengage.pipeline.run import Run
from reengage.pipeline.stopping import polite
from reengage.pipeline.trail import complete
from reengage.pipeline.turns import Turns
from reengage.pipeline.ways import means_by
from reengage.return_path import envid_of, return_path
from reengage.sealing.way import Means

LOOK_SECONDS = 60
"""How long the last look of a claim holds: with a slow relay a batch takes longer than that."""
STALE_SECONDS = 120
"""How old a look may be when a letter's content leaves: its envelope may take a slow relay long."""
DRAWN_SECONDS = 2.0
"""How long the relay's tokens hold: what many workers drew before a long wait for the store would
leave in one breath after it."""
SETTLE_SECONDS = 1.0
"""How long an answer may wait to become final; a batch that is through does not wait."""


@dataclass(frozen=True)
class Sent:
    """What became of a chunk in one try."""

    letters: dict[str, int]
    """Number of letters by state."""
    again_at: datetime | None
    """When a window opens that this run can still send in; None = no letter waits for one."""
    paused: bool = False
    """Whether a person is to be asked first, as the transaction at the end of the try saw it."""


def send(run: Run, chunk: Chunk) -> dict[str, int]:
    """Send the chunk; gives the number of letters by state. Repeating it sends nothing twice.

    Raises RelayError when the relay cannot be reached over verified TLS, VendorError when its
    agreement has lapsed, StoreError when the warehouse cannot be asked; the letters not yet offered
    are then as they were before.
    """
    return send_what_is_open(run, chunk).letters


def send_what_is_open(run: Run, chunk: Chunk) -> Sent:
    """The same as `send`, and when to call it again for the letters whose window is closed."""
    number = chunk["number"]
    again_at = None
    with run.store.connect() as connection, polite() as asked_to_stop:
        attempts.lease(connection, run, number)
        if run.mode == "live":
            restored.require_whole(connection, run)
        attempts.recover(connection, run, number)
        if run.mode == "live":
            restored.doubt(connection, run, number)
        connection.commit()  # who waits for a letter must not hold the ledger
        outbox.withhold_too_late(connection, run, number)
        connection.commit()
        if run.mode == "live":
            again_at = _Sender(run, number, connection, asked_to_stop).run_all()
            attempts.require_session(connection)
        else:
            # Of a live run that was cleared on a later day: for the next live run to take over.
            outbox.defer_open(connection, run, number, "run_became_a_replay")
            rehearse(connection, run, number)
        breaker.expire(connection, run)
        paused = breaker.is_paused(connection, run)
        letters = _counts(connection, run, number)
        if again_at is None and not paused:
            complete(connection, run, facets=disclosed(connection, run, number))
        connection.commit()
        return Sent(letters, again_at, paused)


class _TooOldError(StoreError):
    """The last look is too old for the letter to go on it."""


class _Sender:
    """One try at one chunk: a warm connection to the relay, one token on all its claims."""

    def __init__(
        self, run: Run, chunk: int, connection: Connection, asked_to_stop: Callable[[], bool]
    ) -> None:
        self._run = run
        self._chunk = chunk
        self._connection = connection
        self._asked_to_stop = asked_to_stop
        self._token = uuid4()
        self._relay: relay.RelayConnection | None = None
        self._turns = Turns(connection, run, chunk, self._token, asked_to_stop)
        self._settled_at = self._looked_at = monotonic()
        self._heard: attempts.Answer | None = None
        """An answer that goes into the store with the mark of the letter that follows."""
        self._offered = 0
        """Letters over the connection that is up, and how many it may have; None = any number."""
        self._most: int | None = None

    def run_all(self) -> datetime | None:
        """Send; gives the earliest instant at which a letter that waits may go in this run."""
        vendor = self._run.vendor
        slot = pacing.take_slot(self._connection, vendor)
        if slot is None:
            return self._turns.when_a_connection_is_free()
        try:
            while letters := self._turns.next_letters():
                if ready := self._turns.granted(self._in_their_window(letters)):
                    drawn_at = monotonic()
                    claimed = self._claim(ready)
                    if monotonic() - drawn_at > DRAWN_SECONDS:
                        claimed = self._turns.granted(claimed)
                    self._offer_all(claimed)
                self._stop_if_asked()
            self._stop_if_asked()
            return self._turns.again_at
        except relay.RelayBusyError:
            self._end_in_order()
            instant = self._turns.when_the_relay_has_time()
            if instant is None:
                raise
            return instant
        except BaseException:
            # A store that is down must not hide what happened; the retry then gives them back.
            with suppress(DBAPIError, StoreError):
                self._end_in_order()
            raise
        finally:
            self._run.warm_warehouse.dispose()
            if self._relay is not None:
                self._relay.close()
            if not self._connection.invalidated:  # a lost session has given it back already
                with suppress(DBAPIError):
                    pacing.give_slot(self._connection, vendor, slot)

    def _end_in_order(self) -> None:
        """Settle and give back, unless the session is lost: the lease went with it, and marks may
        have gone with a crash, so that only a retry can tell what was offered.
        """
        if not self._connection.invalidated:
            self._connection.rollback()
            self._settle()
            self._give_back()

    def _stop_if_asked(self) -> None:
        if self._asked_to_stop():
            raise StoreError(
                "the task was asked to stop; the letter under way was finished, the others wait:"
                " clear the task and it goes on with them"
            )

    def _in_their_window(self, letters: Sequence[outbox.Queued]) -> list[outbox.Queued]:
        """Those that may go now; the others are left for when their window opens."""
        now = self._run.settings.now()
        ready: list[outbox.Queued] = []
        waiting: list[outbox.Queued] = []
        for one in letters:
            may_go = window.is_open(self._run, one.letter.time_zone, now)
            (ready if may_go else waiting).append(one)
        if waiting:
            outbox.defer(self._connection, waiting, "outside_send_window", token=self._token)
            self._connection.commit()
        openings = [
            window.opens_again(self._run, one.letter.time_zone, now, one.expires_at)
            for one in waiting
        ]
        self._turns.come_back(*openings)
        return ready

    def _give_back(self) -> None:
        """What was claimed and not offered is open again."""
        attempts.release(self._connection, self._run, self._chunk, self._token)
        self._connection.commit()

    def _settle(self) -> None:
        """Every answer so far becomes final, with its record."""
        self._keep()
        attempts.settle_answered(self._connection, self._run, self._chunk)
        self._connection.commit()
        self._settled_at = monotonic()

    def _claim(self, letters: Sequence[outbox.Queued]) -> list[outbox.Queued]:
        if self._turns.is_paused():  # by another chunk, while the letters were opened
            return []
        baa_id = endpoint(self._run).baa_id  # and the host, also while the connection is warm
        # Before the claim, too: once content has left, no key service may stand before its outcome.
        _ = self._run.month_key
        self._most = self._run.vendor.rate.letters_per_connection
        self._ensure_relay()  # before the claim: a relay that is down claims nothing
        # What a store restored from a backup, or a recording that died, has yet to learn (SEC-08).
        refusals.replay(self._connection, self._run.settings.journal_path)
        suppressions.replay(self._connection, self._run.settings.suppressions_path)
        pay(self._connection, self._run.keyring)
        self._connection.commit()
        # From here: the claim may have to wait for the ledger, and its look is no younger for that.
        self._looked_at = monotonic()
        read_at = outbox.clock(self._connection)
        look = last_look(self._connection, self._run, letters, self._means())
        opens = deposits.verifiers(self._run, letters, look.factors)
        claimed = outbox.claim(
            self._connection,
            self._run,
            letters,
            token=self._token,
            denied=look.denied,
            consents=look.consents,
            verified=look.verified,
            warehouse_read_at=read_at,
            baa_id=baa_id,
            on_file=look.on_file,
            verifiers=opens,
        )
        self._connection.commit()
        return claimed

    def _means(self) -> Means:
        """By what means a letter may go over the connection that is up."""
        return means_by(self._run, requires_tls=self._ensure_relay().offers_requiretls)

    def _offer_all(self, claimed: Sequence[outbox.Queued]) -> None:
        """As many as the last look and their windows hold for; the rest is claimed anew.

        At least one is offered, unless its window or the day has ended since the claim, or the task
        is asked to stop: then it waits.
        """
        for queued in claimed:
            now = self._run.settings.now()
            if self._asked_to_stop() or self._run.has_passed():
                break
            if not window.is_open(self._run, queued.letter.time_zone, now):
                break
            alarmed = self._offer(queued)
            if alarmed or monotonic() - self._settled_at > SETTLE_SECONDS:
                self._settle()
            if alarmed and self._turns.is_paused():
                break
            if monotonic() - self._looked_at > LOOK_SECONDS:
                break
        self._settle()
        self._give_back()

    def _offer(self, queued: outbox.Queued) -> bool:
        """Gives whether the relay's answers alarm, so that they are settled at once."""
        connection = self._ensure_relay()
        self._offered += 1
        try:
            outcome = connection.send(
                return_path(self._run.practice, self._run.keyring, queued.letter_id),
                queued.letter.recipient,
                queued.letter.message,
                envid=envid_of(self._run.keyring, queued.letter_id),
                requiretls=queued.letter.way.basis == "requiretls",
                on_attempt=lambda: self._attempt(queued.letter_id),
            )
        except (attempts.ClaimLostError, _TooOldError):
            return False  # the letter is claimed anew, if it still waits
        self._keep()  # of the letter before, where this one was refused on this side
        reason = None if outcome.kind == "sent" else outcome.reason
        self._heard = attempts.Answer(
            queued.letter_id,
            outcome.kind,
            reason,
            {**vars(connection.evidence), **outcome.evidence()},
            outcome.reply,
        )
        if not connection.is_at_the_point:  # the next mark may be a while: who is killed has heard
            self._keep()
        return self._turns.alarms(outcome.kind, reason)

    def _attempt(self, letter_id: UUID) -> None:
        """Mark it, unless a relay that is slow to hear its envelope has made the look old."""
        if monotonic() - self._looked_at > STALE_SECONDS:
            raise _TooOldError
        self._mark(letter_id)

    def _keep(self) -> None:
        """Keep the answer that was heard last, where no letter follows at once."""
        if self._heard is not None:
            self._mark(None)

    def _mark(self, following: UUID | None) -> None:
        heard, self._heard = self._heard, None
        attempts.mark(self._connection, self._run, self._token, answer=heard, following=following)

    def _ensure_relay(self) -> relay.RelayConnection:
        """The warm connection, opened afresh when it died; never without an agreement in force."""
        if self._relay is not None and (
            self._relay.is_spent or (self._most is not None and self._offered >= self._most)
        ):
            self._keep()  # its QUIT takes its time
            self._relay.close()
        if self._relay is None or not self._relay.alive:
            self._keep()  # a connection takes its time
            self._relay = endpoint(self._run).open()
            self._offered = 0
        return self._relay


def _counts(connection: Connection, run: Run, chunk: int) -> dict[str, int]:
    found = connection.execute(
        text(
            "SELECT state, count(*) AS letters FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk GROUP BY state ORDER BY state"
        ),
        {"run_id": run.run_id, "chunk": chunk},
    )
    return {row.state: row.letters for row in found}
