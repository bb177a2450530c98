"""Relay: one SMTP conversation over verified TLS, and the exact word on what became of a letter.

Promises: nothing of a letter leaves but inside the verified TLS of relay_tls.py (SEC-18, EML-11).
`on_attempt` is called once, before the first octet of a letter's content can leave, so that the
caller can commit its mark. A letter that needs REQUIRETLS goes with it or not at all (EML-19, RFC
8689). One letter at a time: at most one is ever in doubt. `open_relay` is the one way to a relay,
and looks at the vendor's entry first (SEC-20).

A letter takes as few round trips as the relay offers: MAIL, RCPT and DATA in one group with
PIPELINING (RFC 2920), then the content; with CHUNKING (RFC 3030) as well, all of it in one write.

    what happened                                       outcome
    2xx to the end of the content                       sent
    5xx to MAIL, RCPT, DATA or the end                  refused
    4xx or 421 likewise                                 deferred
    connection lost, or no sense, before the end left   deferred  (RFC 5321 section 4.1.1.4)
    the same after it had left, or silence              unknown

The end is the final dot, or the last octet that BDAT announced. BDAT's content leaves with MAIL and
RCPT, so with it a connection that is lost at any reply is lost after the end, unless a refusal of
MAIL or RCPT was heard by then: the letter then has nobody to go to, whatever comes later. A relay
that refuses the recipient and takes the letter nevertheless makes no sense: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import monotonic
from types import TracebackType

from reengage.errors import RelayError
from reengage.relay_envelope import Envelope, put_in_envelope
from reengage.relay_replies import Kind, Outcome, Policy, Stage, outcome_of
from reengage.relay_tls import RelayBusyError, RelayConnectError, TransportEvidence, begin
from reengage.relay_url import RelayUrl
from reengage.relay_wire import Wire
from reengage.vendors import Vendor, require_host, require_in_force

__all__ = [
    "Kind",
    "Outcome",
    "Policy",
    "RelayBusyError",
    "RelayConnectError",
    "RelayConnection",
    "RelayUrl",
    "RequireTlsError",
    "Stage",
    "TransportEvidence",
    "open_relay",
]  # fmt: skip

MAX_LETTERS = 1000
"""Letters of one connection, unless the relay announces fewer (RFC 9422). The lowest limit that a
common relay comes with is Exim's; one that is over its own says 421, and a letter waits."""
COMMAND_SECONDS = 300.0
"""What RFC 5321 section 4.5.3.2 asks for greeting, MAIL and RCPT: a relay that looks a recipient up
elsewhere may take its time. DATA and its content need no more, so that it is one number."""
HURRIED_SECONDS = 30.0
"""The same where somebody waits: a page, an alert."""
GOODBYE_SECONDS = 10.0
"""Nothing depends on the answer to QUIT."""
IDLE_SECONDS = 10.0
"""A connection that was silent for longer is asked whether anyone still listens: one that died
without a word would make an `unknown`."""


class RequireTlsError(RelayError):
    """A letter needs REQUIRETLS and the relay does not offer it; nothing of the letter was sent."""

    reached_data = False


class RelayConnection:
    """A warm connection for one letter after another. Not for several threads at once."""

    def __init__(
        self,
        wire: Wire,
        evidence: TransportEvidence,
        *,
        timeout: float,
        patience: float,
        max_letters: int | None,
    ) -> None:
        self._wire = wire
        self._timeout = timeout
        self._patience = patience
        self._left = _fewer(max_letters, wire.offers.get("limits", ""))
        self._in_order = True  # no letter half-way: the relay waits for a MAIL
        self._spoke_at = monotonic()
        self._requiretls = False  # whether the letter on its way asks for it
        self.evidence = evidence

    def __enter__(self) -> RelayConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    @property
    def offers_requiretls(self) -> bool:
        """Whether the relay said so inside TLS: what it said before is forgotten."""
        return "requiretls" in self._wire.offers

    @property
    def is_at_the_point(self) -> bool:
        """Whether the next letter's content leaves at once, with no word of the relay before it."""
        offers = self._wire.offers
        return self._in_order and "chunking" in offers and "pipelining" in offers

    @property
    def is_spent(self) -> bool:
        """Whether it has had its letters: goodbye comes before the next, not before an answer."""
        return self._left is not None and self._left <= 0

    @property
    def alive(self) -> bool:
        """Whether another letter can be offered. Notices a relay that hung up in the meantime."""
        if not self._wire.is_open:
            return False
        if self.is_spent:
            self.close()
            return False
        if self._wire.peek() is not None:  # the end, or a 421 that nobody asked for
            self._wire.close()
        elif monotonic() - self._spoke_at > IDLE_SECONDS:
            with self._whole():
                self._reset()
        return self._wire.is_open

    def send(
        self,
        envelope_from: str,
        recipient: str,
        message: bytes,
        *,
        envid: str,
        on_attempt: Callable[[], None],
        requiretls: bool = False,
    ) -> Outcome:
        """Offer one letter. What `on_attempt` raises is raised again, and no content was sent.

        `requiretls` has the relay deliver over verified TLS or not at all. Raises RequireTlsError
        where the relay does not offer that, LetterError for a letter that waives TLS.
        """
        if requiretls and not self.offers_requiretls:
            raise RequireTlsError(
                f"relay {self.evidence.host} does not offer REQUIRETLS, and a letter may go with it"
                " only; have its operator enable it, then clear the `send` task; nothing was sent"
            )
        offers = self._wire.offers
        letter = put_in_envelope(
            offers, envelope_from, recipient, message, envid=envid, requiretls=requiretls
        )
        if isinstance(letter, Outcome):
            return letter
        self._requiretls = requiretls
        with self._whole():
            if failed := None if self._in_order else self._reset():
                return failed
            self._in_order = False
            way = self._by_bdat if "chunking" in offers else self._by_data
            outcome = way(letter, on_attempt, "pipelining" in offers)
        self._in_order = outcome.kind == "sent"
        self._spoke_at = monotonic()
        if self._left is not None:
            self._left -= 1
        return outcome

    def close(self) -> None:
        """Say goodbye, if anyone still listens."""
        try:
            if self._wire.is_open and self._wire.peek() is None:
                self._wire.wait_at_most(min(self._timeout, GOODBYE_SECONDS))
                self._wire.command("QUIT")
        except OSError:
            pass
        finally:
            self._wire.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """An exchange that is broken off (a task is stopped, the mark fails) ends the connection:
        not even QUIT may follow half a letter."""
        try:
            yield
        except BaseException:
            self._wire.close()
            raise

    def _reset(self) -> Outcome | None:
        """After a letter that did not go through the relay's state is anyone's guess (RFC 3030)."""
        failed = self._ask([("rset", b"RSET\r\n")])
        self._in_order = failed is None
        self._spoke_at = monotonic()
        if failed:
            self._wire.close()
        return failed

    def _by_data(
        self, letter: Envelope, on_attempt: Callable[[], None], pipelining: bool
    ) -> Outcome:
        commands: list[tuple[Stage, bytes]] = [
            ("mail", letter.mail), ("rcpt", letter.rcpt), ("data", b"DATA\r\n"),
        ]  # fmt: skip
        for group in [commands] if pipelining else [[one] for one in commands]:
            if failed := self._ask(group):
                return failed
        content = letter.dotted()
        on_attempt()
        return self._hand_over(content, ["dot"])

    def _by_bdat(
        self, letter: Envelope, on_attempt: Callable[[], None], pipelining: bool
    ) -> Outcome:
        if pipelining:
            group = letter.mail + letter.rcpt + letter.chunk()
            on_attempt()
            return self._hand_over(group, ["mail", "rcpt", "dot"])
        if failed := self._ask([("mail", letter.mail)]) or self._ask([("rcpt", letter.rcpt)]):
            return failed
        on_attempt()
        return self._hand_over(letter.chunk(), ["dot"])

    def _ask(self, group: Sequence[tuple[Stage, bytes]]) -> Outcome | None:
        """Say the commands in one breath, hear all replies; the first that is no yes decides."""
        failed: Outcome | None = None
        stage = group[0][0]
        try:
            self._wire.wait_at_most(self._timeout)
            self._wire.say(b"".join(command for _, command in group))
            for stage, _ in group:
                code, text = self._wire.reply()
                yes = code == 354 if stage == "data" else 200 <= code < 300
                if yes:
                    if failed and stage == "data":
                        self._end_empty_letter(failed)
                    continue
                answered = self._answered(stage, code, text)  # also after a no: it may be a 421
                failed = failed or answered
                if not self._wire.is_open:
                    break
        except OSError:
            return failed or self._lost("deferred", stage)
        return failed

    def _end_empty_letter(self, failed: Outcome) -> None:
        """The relay waits for the content of a letter that it refused (RFC 2920 section 3.1)."""
        if failed.stage != "rcpt":  # then there might be someone who would get the empty letter
            self._wire.close()
            return
        self._wire.say(b".\r\n")
        if self._wire.reply()[0] < 400:
            self._wire.close()

    def _hand_over(self, octets: bytes, stages: Sequence[Stage]) -> Outcome:
        """Say what ends with the letter's content, hear the word on it."""
        self._wire.wait_at_most(self._timeout)
        try:
            self._wire.say(octets)
        except OSError:
            return self._lost("deferred", "data")
        failed: Outcome | None = None
        try:
            self._wire.wait_at_most(self._patience)
            for stage in stages:
                code, text = self._wire.reply()
                if stage == "dot" or not 200 <= code < 300:
                    found = self._answered(stage, code, text)
                    if found.code is None:
                        return failed or self._lost("unknown", "dot", found.reply)
                    if failed and found.kind == "sent":
                        self._wire.close()
                        return self._lost("unknown", "dot", found.reply)
                    failed = failed or found
                    if not self._wire.is_open:
                        break
        except OSError:
            pass
        return failed or self._lost("unknown", "dot")

    def _lost(self, kind: Kind, stage: Stage, reply: bytes = b"") -> Outcome:
        self._wire.close()
        return Outcome(kind, stage, requiretls=self._requiretls, reply=reply)

    def _answered(self, stage: Stage, code: int, text: bytes) -> Outcome:
        outcome = outcome_of(stage, code, text, requiretls=self._requiretls)
        if outcome.code in (None, 421):  # whatever it speaks, it is not SMTP; or it says goodbye
            self._wire.close()
        return outcome


def _fewer(max_letters: int | None, limits: str) -> int | None:
    """The least of our own limit and the relay's (RFC 9422 section 4.1)."""
    told = re.search(r"(?:^| )MAILMAX=([1-9][0-9]{0,5})(?: |$)", limits, re.IGNORECASE)
    most = [limit for limit in (max_letters, int(told[1]) if told else None) if limit is not None]
    return min(most, default=None)


def open_relay(
    vendor: Vendor,
    url: RelayUrl,
    *,
    on: date,
    trust: Path | None,
    timeout: float = COMMAND_SECONDS,
    patience: float = 600.0,
    max_letters: int | None = MAX_LETTERS,
) -> RelayConnection:
    """The one way to a relay: the vendor's entry is looked at, then the connection is opened.

    `on` is the practice's day. TLS is up and, where the URL names a user, the log-in is done.
    `trust` is an extra certificate authority; dates and names are always verified. `timeout` is how
    many seconds each step may take; who has somebody waiting gives fewer. `patience` is
    how many seconds the word on a whole letter may take (RFC 5321 section 4.5.3.2.6 asks for 600:
    to hang up early makes an `unknown`). After `max_letters` the connection ends by itself, with
    QUIT; None = never. Raises VendorError where nothing may be sent through the vendor that day or
    it lists another host or port, before anything is opened; RelayConnectError where no verified
    TLS came about; nothing of a letter was sent.
    """
    require_in_force(vendor, on)
    require_host(vendor, url.host, url.port)
    wire, evidence = begin(url, trust=trust, timeout=timeout)
    return RelayConnection(
        wire, evidence, timeout=timeout, patience=patience, max_letters=max_letters
    )
