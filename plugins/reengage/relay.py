"""Relay: one SMTP conversation over verified TLS, and the exact word on what became of a letter.

Promises: nothing of a letter leaves but inside the verified TLS of relay_tls.py (SEC-18, EML-11).
`on_attempt` is called exactly before DATA, so that the caller can commit its mark. Return of the
full letter is declined where the relay knows delivery notices (EML-08). No text of a server is
kept: a reply may quote the patient's address. Refuses an address that is not one of RFC 5321.

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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from reengage.errors import ConfigurationError
from reengage.relay_tls import RelayConnectError, RelayUrl, TransportEvidence, begin

__all__ = [
    "Outcome", "RelayConnectError", "RelayConnection", "RelayUrl", "TransportEvidence", "connect",
]  # fmt: skip

Stage = Literal["rset", "mail", "rcpt", "data", "dot"]
Kind = Literal["sent", "refused", "deferred", "unknown"]

_KINDS: dict[int, Kind] = {2: "sent", 4: "deferred", 5: "refused"}

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# RFC 5321 section 4.1.2. What does not match could end the command early and start another.
_MAILBOX = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[ !#-\[\]-~]|\\[ -~])*\")"
    rf"@(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9:.]+\])"
)
_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?!\S)")
# A token with a digit, ending where a word ends: never the first half of an address.
_QUEUE_ID = re.compile(
    rb"(?:queued as |\bid=|^(?:2\.\d\.\d )?ok:? )"
    rb"((?=[A-Za-z_.-]*\d)[A-Za-z0-9_.-]{4,64})(?![^\s;,)\]])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Outcome:
    """What became of a letter. `stage` is where it was decided; codes as the relay gave them.

    Without a code: the connection was lost at `stage`, or, with an enhanced code, the letter was
    refused here because it cannot be said in the SMTP that this relay speaks.
    """

    kind: Kind
    stage: Stage
    code: int | None = None
    enhanced_code: str | None = None
    queue_id: str | None = None

    @property
    def reason(self) -> str:
        """Stage and codes: never the relay's text."""
        if self.code is None and self.enhanced_code is None:
            return f"connection_lost_at_{self.stage}"
        return " ".join(str(part) for part in (self.stage, self.code, self.enhanced_code) if part)


class RelayConnection:
    """A warm connection for one letter after another. Not for several threads at once."""

    def __init__(
        self, smtp: smtplib.SMTP, evidence: TransportEvidence, *, timeout: float, patience: float
    ) -> None:
        self._smtp = smtp
        self._timeout = timeout
        self._patience = patience
        self._fresh = True
        self.evidence = evidence

    def __enter__(self) -> RelayConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

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
    ) -> Outcome:
        """Offer one letter. What `on_attempt` raises is raised again, and no DATA was sent."""
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", envid):
            raise ValueError("envid is an opaque token of 1 to 100 letters, digits, . _ or -")
        if not _MAILBOX.fullmatch(envelope_from):
            raise ConfigurationError("the sender is no mail address; mend practice.yaml")
        if not _MAILBOX.fullmatch(recipient):
            # 5.6.7: it would take SMTPUTF8. 5.1.3: bad destination mailbox address syntax.
            return Outcome("refused", "rcpt", None, "5.1.3" if recipient.isascii() else "5.6.7")
        if not message.isascii() and not self._smtp.has_extn("8bitmime"):
            return Outcome("refused", "mail", None, "5.6.3")  # conversion required, not supported
        content = _normalised(message)
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
            return failed or Outcome("deferred", stage)
        return failed

    def _data(self, content: bytes) -> Outcome:
        try:
            code, text = self._smtp.docmd("DATA")
            if code != 354:
                return self._answered("data", code, text)
            self._smtp.send(_dots_doubled(content))
        except OSError:
            self._smtp.close()
            return Outcome("deferred", "data")
        try:
            if self._smtp.sock is not None:
                self._smtp.sock.settimeout(self._patience)
            # On its own, so that a connection lost above was lost before it for certain.
            self._smtp.send(b".\r\n")
            code, text = self._smtp.getreply()
        except OSError:
            self._smtp.close()
            return Outcome("unknown", "dot")
        if self._smtp.sock is not None:
            self._smtp.sock.settimeout(self._timeout)
        return self._answered("dot", code, text)

    def _answered(self, stage: Stage, code: int, text: bytes) -> Outcome:
        kind = _KINDS.get(code // 100)
        if kind is None or stage == "rset" or (kind == "sent" and stage != "dot"):
            self._smtp.close()  # whatever it speaks, it is not SMTP
            return Outcome("unknown" if stage == "dot" else "deferred", stage)
        if code == 421:
            self._smtp.close()
        enhanced = _ENHANCED.match(text)
        queue_id = _QUEUE_ID.search(text) if kind == "sent" else None
        return Outcome(
            kind,
            stage,
            code,
            enhanced.group(1).decode() if enhanced else None,
            queue_id.group(1).decode() if queue_id else None,
        )


def connect(
    url: RelayUrl, *, trust: Path | None, timeout: float = 30.0, patience: float = 600.0
) -> RelayConnection:
    """A connection with TLS up and, where the URL names a user, logged in.

    `trust` is an extra certificate authority; dates and names are always verified. `patience` is
    how many seconds the word on a whole letter may take (RFC 5321 section 4.5.3.2.6 asks for 600:
    to hang up early makes an `unknown`). Raises RelayConnectError; nothing of a letter was sent.
    """
    smtp, evidence = begin(url, trust=trust, timeout=timeout)
    return RelayConnection(smtp, evidence, timeout=timeout, patience=patience)


def _normalised(message: bytes) -> bytes:
    """CRLF line ends throughout: around a bare CR or LF a second letter could be smuggled in."""
    content = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _dots_doubled(content: bytes) -> bytes:
    """RFC 5321 section 4.5.2. Like the above without a regular expression: three times as fast."""
    first = b"." if content.startswith(b".") else b""
    return first + content.replace(b"\r\n.", b"\r\n..")
