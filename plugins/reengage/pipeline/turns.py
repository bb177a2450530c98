"""Turns: whether a try may go on, with which letters, and when to come back for the others.

What a sender asks before each claim: the breaker (breaker.py), the relay's and the domains' buckets
(pacing.py), the plan of letters that were put off (retry.py). A short wait is waited for here, a
long one is an instant at which the task comes back, so that it holds no worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic, sleep
from uuid import UUID

from sqlalchemy import Connection

from reengage.pipeline import breaker, holds, outbox, pacing, retry
from reengage.pipeline.run import Run, local_day

_BUSY_SECONDS = 30
TRY_SECONDS = 1800
"""After so long a try ends and comes back at once: well within the task's time limit, which strikes
in the middle of a letter.
"""
_SLICE = 0.1
"""Seconds after which a wait looks whether the task was asked to stop."""


class Turns:
    """Of one try at one chunk. `again_at` is when to come back; None = nothing waits for that."""

    def __init__(
        self,
        connection: Connection,
        run: Run,
        chunk: int,
        token: UUID,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self.again_at: datetime | None = None
        self._connection = connection
        self._run = run
        self._chunk = chunk
        self._asked_to_stop = asked_to_stop
        self._watch = breaker.Watch(run.campaign.breaker)
        self._over = False
        self._left = False
        """Whether the letters are the campaign's next run's."""
        self._token = token
        self._began = monotonic()

    def come_back(self, *instants: datetime | None) -> None:
        """Note instants at which letters that wait may go; the earliest counts."""
        known = [instant for instant in (*instants, self.again_at) if instant]
        self.again_at = min(known, default=None)

    def next_letters(self) -> list[outbox.Queued]:
        """Letters that may be looked at now; none when the try is over."""
        while not self._over and not self._asked_to_stop() and not self._is_left_to_the_next():
            letters = outbox.open_letters(self._connection, self._run, self._chunk, self._token)
            if letters and monotonic() - self._began > TRY_SECONDS:
                self.come_back(outbox.clock(self._connection))
                break
            if letters:
                return letters
            seconds = pacing.held_for(self._connection, self._run, self._chunk, self._token)
            if seconds is None:
                break
            self._wait(seconds)
        self.come_back(retry.next_try(self._connection, self._run, self._chunk, self._token))
        if self._left:
            self.again_at = None
        self._connection.rollback()
        return []

    def granted(self, ready: Sequence[outbox.Queued]) -> list[outbox.Queued]:
        """Those that the relay takes now; when it takes none, after waiting a moment."""
        recipients = [one.letter.recipient for one in ready]
        found = pacing.take(self._connection, self._run, recipients)
        held = {ready[place].letter_id: seconds for place, seconds in found.held.items()}
        pacing.hold(self._connection, held)
        self._connection.commit()
        if not found.letters and len(held) < len(ready):  # the relay's own bucket is empty
            self._wait(found.wait_seconds)
        return [ready[place] for place in found.letters]

    def when_a_connection_is_free(self) -> datetime:
        """All connections that the relay allows are in use by other chunks: when to look again."""
        instant = outbox.clock(self._connection) + timedelta(seconds=_BUSY_SECONDS)
        self._connection.rollback()
        return instant

    def when_the_relay_has_time(self) -> datetime | None:
        """When to look again after a 4xx instead of a conversation; None = not on the run's day."""
        if self._run.settings.pinned_now is not None:
            return None
        at = self._run.settings.now() + self._run.campaign.retry.pause(1)
        return at if local_day(at, self._run.campaign) == self._run.day else None

    def alarms(self, state: str, reason: str | None) -> bool:
        """One more answer was heard; whether to settle now, so that the breaker sees it."""
        return self._watch.saw(state, reason)

    def is_paused(self) -> bool:
        """Whether no letter may be claimed; what a rejected run, or one of a campaign that somebody
        paused, holds is left to the next.
        """
        found = breaker.pause_of(self._connection, self._run)
        is_held = holds.is_paused(self._connection, self._run.campaign.slug)
        if is_held or (found is not None and found.rejected):
            reason = holds.REASON if is_held else breaker.REJECTED
            self._leave(reason)
        self._connection.commit()
        return is_held or found is not None

    def _is_left_to_the_next(self) -> bool:
        """Whether the run is paused or its day has passed: a try may begin before midnight."""
        if self._run.has_passed():
            self._leave("run_became_a_replay")
            self._connection.commit()
            return True
        return self.is_paused()

    def _leave(self, reason: str) -> None:
        outbox.defer_open(self._connection, self._run, self._chunk, reason)
        self._left = True

    def _wait(self, seconds: float) -> None:
        self._connection.rollback()  # nothing is held while waiting
        if seconds > pacing.PATIENCE_SECONDS:
            self.come_back(outbox.clock(self._connection) + timedelta(seconds=seconds))
            self._over = True
            return
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and not self._asked_to_stop():
            sleep(min(left, _SLICE))
