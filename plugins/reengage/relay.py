"""Relay: one SMTP conversation over verified TLS, and the exact word on what became of a letter.

Promises: nothing of a letter leaves but inside the verified TLS of relay_tls.py (SEC-18, EML-11).
`on_attempt` is called exactly before DATA, so that the caller can commit its mark. Return of the
full letter is declined where the relay knows delivery notices (EML-08). A letter that needs
REQUIRETLS goes with it or not at all, and none asks for the contrary (EML-19, RFC 8689). Refuses an
address that is not one of RFC 5321. `open_relay` is the one way to a relay, and looks at the
vendor's entry first (SEC-20).

    what happened                                       outcome
    2xx to the final dot                                sent
    5xx to MAIL, RCPT, DATA or the dot                  refused
    4xx likewise; a connection lost before the dot      deferred  (RFC 5321 section 4.1.1.4)
    after the dot: connection lost, no sense, silence   unknown
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import TracebackType

from reengage.errors import ConfigurationError, LetterError, RelayError
from reengage.relay_replies import Kind, Outcome, Policy, Stage, outcome_of
from reengage.relay_tls import RelayConnectError, TransportEvidence, begin
from reengage.relay_url import RelayUrl
from reengage.vendors import Vendor, require_host, require_in_force

__all__ = [
    "Kind", "Outcome", "Policy", "RelayConnectError", "RelayConnection", "RelayUrl",
    "RequireTlsError", "Stage", "TransportEvidence", "open_relay",
]  # fmt: skip

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# RFC 5321 section 4.1.2. What does not match could end the command early and start another.
_MAILBOX = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
    rf"@(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9:.]+\])"
)
# RFC 8689 section 5: a header with which a letter would ask for cleartext.
_TLS_NOT_REQUIRED = re.compile(rb"^tls-required[ \t]*:", re.IGNORECASE | re.MULTILINE)


class RequireTlsError(RelayError):
    """A letter needs REQUIRETLS and the relay does not offer it; nothing of the letter was sent."""

    reached_data = False


class RelayConnection:
    """A warm connection for one letter after another. Not for several threads at once."""

    def __init__(
        self, smtp: smtplib.SMTP, evidence: TransportEvidence, *, timeout: float, patience: float
    ) -> None:
        self._smtp = smtp
        self._timeout = timeout
        self._patience = patience
        self._fresh = True
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
        return self._smtp.has_extn("requiretls")

    @property
    def alive(self) -> bool:
        """Whether another letter can be offered. Notices a relay that hung up in the meantime."""
        sock, file = self._smtp.sock, self._smtp.file
        if sock is None or file is None:
            return False
        sock.settimeout(0)
        try:
            file.peek(1)  # it gives the end of the stream, or a 421 that nobody asked for
        except ssl.SSLWantReadError:
            sock.settimeout(self._timeout)
            return True
        except OSError:
            pass
        self._smtp.close()
        return False

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
        """Offer one letter. What `on_attempt` raises is raised again, and no DATA was sent.

        `requiretls` has the relay deliver over verified TLS or not at all. Raises RequireTlsError
        where the relay does not offer that, LetterError for a letter that waives TLS.
        """
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", envid):
            raise ValueError("envid is an opaque token of 1 to 100 letters, digits, . _ or -")
        if not _MAILBOX.fullmatch(envelope_from):
            raise ConfigurationError("the sender is no mail address; mend practice.yaml")
        if requiretls and not self.offers_requiretls:
            raise RequireTlsError(
                f"relay {self.evidence.host} does not offer REQUIRETLS, and a letter may go with it"
                " only; have its operator enable it, then clear the `send` task; nothing was sent"
            )
        if not _MAILBOX.fullmatch(recipient):
            # 5.6.7: it would take SMTPUTF8. 5.1.3: bad destination mailbox address syntax.
            return Outcome("refused", "rcpt", None, "5.1.3" if recipient.isascii() else "5.6.7")
        if not message.isascii() and not self._smtp.has_extn("8bitmime"):
            return Outcome("refused", "mail", None, "5.6.3")  # conversion required, not supported
        content = _normalised(message)
        _require_tls_is_not_waived(content)
        self._requiretls = requiretls
        with self._whole():
            if failed := self._envelope(envelope_from, recipient, content, envid):
                return failed
        on_attempt()
        with self._whole():
            return self._data(content)

    def close(self) -> None:
        """Say goodbye, if anyone still listens."""
        try:
            if self.alive:
                self._smtp.docmd("QUIT")
        except OSError:
            pass
        finally:
            self._smtp.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """An exchange that is broken off (a task is stopped) ends the connection: not even QUIT may
        follow half a letter."""
        try:
            yield
        except BaseException:
            self._smtp.close()
            raise

    def _envelope(self, sender: str, recipient: str, content: bytes, envid: str) -> Outcome | None:
        offers = self._smtp.has_extn
        mail, rcpt = f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"
        if offers("size"):
            mail += f" SIZE={len(content)}"
        if not content.isascii():
            mail += " BODY=8BITMIME"
        if offers("dsn"):  # without RET=HDRS a bounce may return the whole letter (EML-08)
            mail += f" RET=HDRS ENVID={envid}"
            rcpt += " NOTIFY=FAILURE,DELAY"
        if self._requiretls:
            mail += " REQUIRETLS"
        commands: list[tuple[Stage, str]] = [("mail", mail), ("rcpt", rcpt)]
        if not self._fresh:
            commands.insert(0, ("rset", "RSET"))
        self._fresh = False
        batches = [commands] if offers("pipelining") else [[command] for command in commands]
        for batch in batches:
            if failed := self._exchange(batch):
                return failed
        return None

    def _exchange(self, batch: list[tuple[Stage, str]]) -> Outcome | None:
        """Say the commands in one breath, hear all replies; the first that is no yes decides."""
        failed: Outcome | None = None
        stage = batch[0][0]
        try:
            self._smtp.send("".join(f"{command}\r\n" for _, command in batch))
            for stage, _ in batch:
                code, text = self._smtp.getreply()
                if not 200 <= code < 300:
                    failed = failed or self._answered(stage, code, text)
                    if self._smtp.sock is None:
                        break
        except OSError:
            self._smtp.close()
            return failed or self._lost("deferred", stage)
        return failed

    def _data(self, content: bytes) -> Outcome:
        try:
            code, text = self._smtp.docmd("DATA")
            if code != 354:
                return self._answered("data", code, text)
            self._smtp.send(_dots_doubled(content))
        except OSError:
            self._smtp.close()
            return self._lost("deferred", "data")
        try:
            if self._smtp.sock is not None:
                self._smtp.sock.settimeout(self._patience)
            # On its own, so that a connection lost above was lost before it for certain.
            self._smtp.send(b".\r\n")
            code, text = self._smtp.getreply()
        except OSError:
            self._smtp.close()
            return self._lost("unknown", "dot")
        if self._smtp.sock is not None:
            self._smtp.sock.settimeout(self._timeout)
        return self._answered("dot", code, text)

    def _lost(self, kind: Kind, stage: Stage) -> Outcome:
        return Outcome(kind, stage, requiretls=self._requiretls)

    def _answered(self, stage: Stage, code: int, text: bytes) -> Outcome:
        outcome = outcome_of(stage, code, text, requiretls=self._requiretls)
        if outcome.code in (None, 421):  # whatever it speaks, it is not SMTP; or it says goodbye
            self._smtp.close()
        return outcome


def open_relay(
    vendor: Vendor,
    url: RelayUrl,
    *,
    on: date,
    trust: Path | None,
    timeout: float = 30.0,
    patience: float = 600.0,
) -> RelayConnection:
    """The one way to a relay: the vendor's entry is looked at, then the connection is opened.

    `on` is the practice's day. TLS is up and, where the URL names a user, the log-in is done.
    `trust` is an extra certificate authority; dates and names are always verified. `patience` is
    how many seconds the word on a whole letter may take (RFC 5321 section 4.5.3.2.6 asks for 600:
    to hang up early makes an `unknown`). Raises VendorError where nothing may be sent through the
    vendor that day or it lists another host or port, before anything is opened;
    RelayConnectError where no verified TLS came about; nothing of a letter was sent.
    """
    require_in_force(vendor, on)
    require_host(vendor, url.host, url.port)
    smtp, evidence = begin(url, trust=trust, timeout=timeout)
    return RelayConnection(smtp, evidence, timeout=timeout, patience=patience)


def _require_tls_is_not_waived(content: bytes) -> None:
    head = content.partition(b"\r\n\r\n")[0]
    if _TLS_NOT_REQUIRED.search(head):
        raise LetterError(
            "a letter has the header TLS-Required, which can only waive TLS (RFC 8689 section 5);"
            " remove it from the template; nothing was sent"
        )


def _normalised(message: bytes) -> bytes:
    """CRLF line ends throughout: around a bare CR or LF a second letter could be smuggled in."""
    content = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _dots_doubled(content: bytes) -> bytes:
    """RFC 5321 section 4.5.2. Like the above without a regular expression: three times as fast."""
    first = b"." if content.startswith(b".") else b""
    return first + content.replace(b"\r\n.", b"\r\n..")
