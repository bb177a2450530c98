"""A hostile SMTP relay on a real loopback socket, which does what its script says.

    with HostileRelay(certificates, {"rcpt": "550 5.1.1 no such user"}) as relay:
        relay.at("dot", callback)          # called when the client reached that stage
        ... talk to relay.url, trusting certificates.ca ...
        relay.letters, relay.commands, relay.clear, relay.wire

`later` are options that hold from the second connection on: `{"extensions_before_tls": ()}`.

A script maps a stage to a reply, to DROP (hang up instead), to SILENCE (nothing until the client
leaves), or to a list of those: one for each time the stage is reached, the last one for good.
The stages in order: connect, ehlo, starttls, (TLS), ehlo_tls, auth, rset, mail, rcpt, data, body
(its first octets are here), dot (the letter is whole and not accepted yet), reply (it is accepted
and recorded, and the reply not sent yet), quit. A letter that comes by BDAT has no stage `data`.
Without a recipient that was accepted DATA and BDAT are refused at `nobody`; one that says 354 there
gets a content nevertheless, and says no to it at `nothing`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from reengage.embedded.certificates import Certificates

from simulators.line import HangUpError, Line

DROP = "<drop>"
SILENCE = "<silence>"

Script = Mapping[str, str | Sequence[str]]
Tls = Literal[
    "good", "implicit", "1.2",
    "old", "1.0", "cbc", "anonymous", "null", "static_rsa", "chacha20",
    "plaintext", "garbage", "drop", "drop_in_handshake",
]  # fmt: skip
"""`old` speaks TLS 1.1 only, `1.0` that only; `cbc` to `chacha20` are suites of TLS 1.2."""
WEAK_SUITES: Mapping[str, str] = {
    "cbc": "ECDHE-ECDSA-AES256-SHA384",
    "anonymous": "AECDH-AES256-SHA",
    "null": "ECDHE-ECDSA-NULL-SHA",
    "static_rsa": "AES256-GCM-SHA384",  # wants certificates.good_rsa
    "chacha20": "ECDHE-ECDSA-CHACHA20-POLY1305",
}

_REPLIES = {
    "connect": "220 localhost ready",
    "starttls": "220 2.0.0 go ahead",
    "auth": "235 2.7.0 welcome",
    "rset": "250 2.0.0 ok",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go ahead",
    "dot": "",
    "body": "",
    "reply": "250 2.0.0 Ok: queued as 4F1A2B3C",
    "nobody": "503 5.5.1 no valid recipients",
    "nothing": "554 5.5.1 no valid recipients",
    "quit": "221 2.0.0 bye",
}


@dataclass(frozen=True)
class Accepted:
    """A letter for which this relay took responsibility: the truth about what was delivered."""

    mail: str
    rcpt: str
    content: bytes


@dataclass
class HostileRelay:
    """Serves connections in threads of its own while the block runs."""

    certificates: Certificates
    script: Script = field(default_factory=dict)
    tls: Tls = "good"
    extensions: Sequence[str] = ("SIZE 1000000", "8BITMIME", "DSN", "PIPELINING")
    extensions_before_tls: Sequence[str] = ("STARTTLS",)
    injected: Mapping[str, bytes] = field(default_factory=dict)
    """By stage (connect, ehlo, starttls): sent in the clear with its reply, as one piece."""
    later: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear = bytearray()
        """Every octet that the client sent outside TLS."""
        self.wire = bytearray()
        """Every octet that the client sent, as it was on the wire, all connections."""
        self.commands: list[str] = []
        """Every command inside TLS, all connections."""
        self.letters: list[Accepted] = []
        self.connections = 0
        self._times: defaultdict[str, int] = defaultdict(int)
        self._callbacks: dict[str, Callable[[], None]] = {}
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"{'smtps' if self.tls == 'implicit' else 'smtp'}://localhost:{self.port}"

    def at(self, stage: str, callback: Callable[[], None]) -> None:
        """Call `callback` each time a client has reached `stage`, before anything is answered."""
        self._callbacks[stage] = callback

    def __enter__(self) -> HostileRelay:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._listener, *self._sockets]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the simulator hangs"

    def wait_until_left(self) -> None:
        """Until every client has ended its connection: fails when one never does."""
        for thread in self._threads[1:]:
            thread.join(10)
            assert not thread.is_alive(), "a client did not end its connection"

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was shut: the block is over
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(sock)
                self.connections += 1
                later = self.later if self.connections > 1 else {}
                self._start(_Conversation(self, Line(sock, self._heard), later).run)

    def _heard(self, octets: bytes, under_tls: bool) -> None:
        self.wire += octets
        if not under_tls:
            self.clear += octets

    def action(self, stage: str) -> str:
        """What to do at a stage now; its callback has been called by then."""
        if callback := self._callbacks.get(stage):
            callback()
        times = self._times[stage]
        self._times[stage] += 1
        scripted = self.script.get(stage, _REPLIES.get(stage, ""))
        if isinstance(scripted, str):
            return scripted
        return scripted[min(times, len(scripted) - 1)]


class _Conversation:
    """One connection, from the greeting to its end."""

    def __init__(self, relay: HostileRelay, line: Line, changed: Mapping[str, Any]) -> None:
        self._relay = relay
        self._changed = changed
        self._line = line
        self._secured = False
        self._mail = self._rcpt = ""
        self._taken: set[str] = set()  # which of MAIL and RCPT were accepted

    def run(self) -> None:
        try:
            if self._option("tls") == "implicit":
                self._secure()
            self._say(self._relay.action("connect"), self._option("injected").get("connect", b""))
            while True:
                self._command(self._line.readline().decode("latin-1").rstrip("\r\n"))
        except (HangUpError, OSError):
            pass
        finally:
            self._line.close()

    def _option(self, name: str) -> Any:
        return self._changed.get(name, getattr(self._relay, name))

    def _command(self, command: str) -> None:
        verb = command.split(" ")[0].upper()
        if self._secured:
            self._relay.commands.append(command)
        if verb == "EHLO":
            self._greet()
        elif verb == "STARTTLS":
            self._start_tls()
        elif verb == "DATA":
            self._data()
        elif verb == "BDAT":
            self._bdat(int(command.split(" ")[1]))
        elif verb == "QUIT":
            self._answer("quit")
            raise HangUpError
        elif verb in ("MAIL", "RCPT", "RSET", "AUTH"):
            self._mail = command if verb == "MAIL" else self._mail
            self._rcpt = command if verb == "RCPT" else self._rcpt
            if verb in ("MAIL", "RSET"):
                self._taken.clear()
            self._answer(verb.lower())
        else:
            self._line.write(b"500 5.5.1 what\r\n")

    def _greet(self) -> None:
        stage = "ehlo_tls" if self._secured else "ehlo"
        offers = self._option("extensions" if self._secured else "extensions_before_tls")
        if self._say(self._relay.action(stage)):
            return
        lines = ["localhost", *offers]
        ends = ["-"] * len(offers) + [" "]
        said = "".join(f"250{end}{line}\r\n" for end, line in zip(ends, lines, strict=True))
        injected = b"" if self._secured else self._option("injected").get("ehlo", b"")
        self._line.write(said.encode() + injected)

    def _start_tls(self) -> None:
        reply = self._relay.action("starttls")
        self._say(reply, self._option("injected").get("starttls", b""))
        if reply.startswith("220") and self._option("tls") != "plaintext":
            self._secure()

    def _secure(self) -> None:
        tls = self._option("tls")
        if tls == "drop":
            raise HangUpError
        if tls == "drop_in_handshake":
            self._line.read()
            raise HangUpError
        if tls == "garbage":
            self._line.read()  # the client has begun the handshake
            self._line.write(b"this is no TLS at all, whatever was promised before\r\n" * 20)
            self._line.wait_for_the_end()
        self._line.start_tls(_context(tls, self._option("certificates")))
        self._secured = True

    def _data(self) -> None:
        somebody = self._taken >= {"mail", "rcpt"}
        reply = self._relay.action("data" if somebody else "nobody")
        self._say(reply)
        if not reply.startswith("354"):
            return
        lines = [self._line.readline()]
        self._say(self._relay.action("body"))
        while lines[-1] != b".\r\n":
            lines.append(self._line.readline())
        if somebody:
            self._take(b"".join(line.removeprefix(b".") for line in lines[:-1]))
        else:
            self._answer("nothing")

    def _bdat(self, octets: int) -> None:
        begun = self._line.read_some(octets)
        self._say(self._relay.action("body"))
        content = begun + self._line.readexactly(octets - len(begun))
        if self._taken >= {"mail", "rcpt"}:
            self._take(content)
        else:
            self._answer("nobody")

    def _take(self, content: bytes) -> None:
        if self._say(self._relay.action("dot")):
            return
        self._relay.letters.append(Accepted(self._mail, self._rcpt, content))
        self._taken.clear()
        self._answer("reply")

    def _answer(self, stage: str) -> None:
        action = self._relay.action(stage)
        if stage in ("mail", "rcpt") and action.startswith("2"):
            self._taken.add(stage)
        self._say(action)

    def _say(self, action: str, injected: bytes = b"") -> bool:
        """Do what the script says; whether a reply was given."""
        if action == DROP:
            raise HangUpError
        if action == SILENCE:
            self._line.wait_for_the_end()
        if action:
            self._line.write(action.encode() + b"\r\n" + injected)
        if action.startswith("421"):
            self._line.wait_for_the_end()  # it is the client that has to go
        return bool(action)


def _context(tls: Tls, certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it shows whatever certificate it is given
    context.load_cert_chain(certificates.cert, certificates.key)
    context.set_ecdh_curve("prime256v1")  # else no anonymous suite finds a curve
    if tls in ("1.2", *WEAK_SUITES):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if tls in WEAK_SUITES:
        context.set_ciphers(f"{WEAK_SUITES[tls]}:@SECLEVEL=0")
    if tls in ("old", "1.0"):
        only = ssl.TLSVersion.TLSv1_1 if tls == "old" else ssl.TLSVersion.TLSv1
        context.minimum_version = context.maximum_version = only
    return context
