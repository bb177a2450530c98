"""A relay of a bad day: real SMTP over TLS that fails by lot, and its own record of what it took.

    with ChaosRelay(certificates, seed, share=0.2) as relay:
        url = relay.listen(tag=3)             # a door of its own for each client: its tag is known
        relay.at = callback                   # callback(tag, stage) as each stage is reached
        relay.calm = True                     # from now on nothing fails
        relay.transactions, relay.taken()     # the truth

A letter is taken exactly when the final reply 250 (to the dot, or to BDAT LAST) is about to be
written: whether it is then heard is the client's affair. What befalls a letter is drawn from the
seed, the door, the connection's number and the letter's on it: no thread's pace changes it.

Stages in order: connect, ehlo, mail, rcpt, data (DATA, or the first BDAT), body (its first octets
are here), dot (it is whole and not taken), reply (it is taken and not said so), replied, quit.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from itertools import count
from typing import IO

from reengage.embedded.certificates import Certificates

from simulators.lot import OF_A_CONNECTION, OF_A_LETTER, WITHOUT_A_WORD, Fault, Transaction, draw


class HangUpError(Exception):
    """This side ends the connection."""


@dataclass
class ChaosRelay:
    """Serves each connection in a thread of its own while the block runs."""

    certificates: Certificates
    seed: int
    share: float = 0.2
    """Of letters that something befalls."""
    extensions: Sequence[str] = ("SIZE 1000000", "8BITMIME", "DSN", "PIPELINING", "CHUNKING")
    implicit: bool = False
    """TLS from the first octet."""
    mute_seconds: float = 0.0
    """How long every reply takes."""

    def __post_init__(self) -> None:
        self.at: Callable[[int, str], None] = lambda tag, stage: None
        self.calm = False
        self.transactions: list[Transaction] = []
        self.faults: list[Fault] = []
        """Those that came about."""
        self.connections: dict[int, int] = {}
        self._listeners: list[socket.socket] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._codes = count(1)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificates.cert, self.certificates.key)

    def __enter__(self) -> ChaosRelay:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self._listeners, *self._sockets]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the simulator hangs"

    def listen(self, tag: int) -> str:
        """Open a door for one client; gives its URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        self._run(lambda: self._accept(listener, tag))
        return f"{'smtps' if self.implicit else 'smtp'}://localhost:{listener.getsockname()[1]}"

    def taken(self) -> list[Transaction]:
        """The letters that this relay took responsibility for."""
        return [one for one in self.transactions if one.taken]

    def draw(self, stages: Sequence[str], *place: int) -> Fault | None:
        """What befalls the letter or the connection at this place; nothing when all is calm."""
        return None if self.calm else draw(self.share, stages, self.seed, *place)

    def came_about(self, fault: Fault) -> None:
        with self._lock:
            self.faults.append(fault)

    def code(self, digit: str) -> str:
        """An enhanced code that no other reply has: it shows whose reply was recorded for whom."""
        number = next(self._codes)
        return f"{digit}.{number // 1000}.{number % 1000}"

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, tag: int) -> None:
        with suppress(OSError):  # the listener was shut: the block is over
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets.append(sock)
                    number = self.connections[tag] = self.connections.get(tag, 0) + 1
                self._run(_Conversation(self, sock, tag, number).run)

    def secure(self, sock: socket.socket) -> ssl.SSLSocket:
        secured = self._context.wrap_socket(sock, server_side=True)
        with self._lock:
            self._sockets.append(secured)
        return secured


class _Conversation:
    """One connection, from the greeting to its end."""

    def __init__(self, relay: ChaosRelay, sock: socket.socket, tag: int, number: int) -> None:
        self._relay = relay
        self._sock = sock
        self._file: IO[bytes] = sock.makefile("rb")
        self._tag = tag
        self._number = number
        self._secured = False
        self._letters = 0
        self._own = relay.draw(OF_A_CONNECTION, tag, number)
        self._now: Transaction | None = None
        self._chunks: list[bytes] = []
        self._mail_ok = self._rcpt_ok = False

    def run(self) -> None:
        try:
            if self._relay.implicit:
                self._secure()
            self._reach("connect")
            self._say(b"220 localhost ready", "connect")
            while line := self._file.readline():
                if not line.endswith(b"\n"):
                    return  # half a command is none
                self._command(line.decode("latin-1").rstrip("\r\n"))
        except (HangUpError, OSError, ValueError):
            pass
        finally:
            for end in (self._file, self._sock):  # a file keeps its socket open
                with suppress(OSError, ValueError):
                    end.close()

    def _command(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        doors: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo, "STARTTLS": self._starttls, "MAIL": self._mail,
            "RCPT": self._rcpt, "DATA": self._data, "BDAT": self._bdat, "RSET": self._rset,
            "NOOP": lambda _: self._write(b"250 2.0.0 ok"), "QUIT": self._quit,
        }  # fmt: skip
        doors.get(verb.upper(), lambda _: self._write(b"500 5.5.1 what"))(rest)

    def _ehlo(self, _: str) -> None:
        if not self._secured:
            self._write(b"250-localhost\r\n250 STARTTLS")
            return
        self._reach("ehlo")
        lines = ["localhost", *self._relay.extensions]
        ends = ["-"] * (len(lines) - 1) + [" "]
        said = "\r\n".join(f"250{end}{text}" for end, text in zip(ends, lines, strict=True))
        self._say(said.encode(), "ehlo")

    def _starttls(self, _: str) -> None:
        self._write(b"220 2.0.0 go ahead")
        self._secure()

    def _secure(self) -> None:
        self._sock = self._relay.secure(self._sock)
        self._file = self._sock.makefile("rb")
        self._secured = True

    def _mail(self, _: str) -> None:
        self._letters += 1
        fault = self._relay.draw(OF_A_LETTER, self._tag, self._number, self._letters)
        self._now = Transaction(self._tag, self._number, fault)
        self._relay.transactions.append(self._now)
        self._chunks = []
        self._rcpt_ok = False
        self._reach("mail")
        self._mail_ok = self._say(b"250 2.1.0 ok", "mail")

    def _rcpt(self, rest: str) -> None:
        letter = self._letter()
        letter.rcpt = rest.partition("<")[2].partition(">")[0]
        self._reach("rcpt")
        if not self._mail_ok:
            self._write(b"503 5.5.1 MAIL first")
            return
        self._rcpt_ok = self._say(b"250 2.1.5 ok", "rcpt")

    def _data(self, _: str) -> None:
        letter = self._letter()
        self._reach("data")
        if not self._rcpt_ok:
            self._without_recipient()
            return
        if not self._say(b"354 go ahead", "data"):
            return
        content = self._content(letter)
        self._whole(letter, content)

    def _without_recipient(self) -> None:
        """RFC 2920 section 3.1: some servers say 354 all the same; the client sends a lone dot."""
        if self._relay.seed % 2:
            self._write(b"503 5.5.1 no valid recipients")
            return
        self._write(b"354 go ahead, though nobody is to get it")
        lines = []
        while (line := self._readline()) != b".\r\n":
            lines.append(line)
        self._letter().began = bool(lines)
        self._write(b"554 5.5.1 no valid recipients")

    def _content(self, letter: Transaction) -> bytes:
        lines = [self._readline()]
        letter.began = True
        self._reach("body")
        self._fault_at("body")
        while lines[-1] != b".\r\n":
            lines.append(self._readline())
        return b"".join(line.removeprefix(b".") for line in lines[:-1])

    def _bdat(self, rest: str) -> None:
        size, _, last = rest.partition(" ")
        letter = self._letter()
        if not self._chunks:
            self._reach("data")
        half = int(size) // 2
        began = self._read(half)
        if self._rcpt_ok:
            letter.began = True
            self._reach("body")
            self._fault_at("body")
        self._chunks.append(began + self._read(int(size) - half))
        if not self._rcpt_ok:  # RFC 3030 section 2: the octets come all the same
            self._write(b"503 5.5.1 no valid recipients")
        elif not last:
            self._write(b"250 2.0.0 go on")
        else:
            self._whole(letter, b"".join(self._chunks))

    def _whole(self, letter: Transaction, content: bytes) -> None:
        """The content is here: take it or not, and say so or not."""
        letter.whole, letter.content = True, content
        letter.message_id = str(message_from_bytes(content)["Message-ID"])
        self._rcpt_ok = self._mail_ok = False
        self._reach("dot")
        if not self._say(None, "dot"):
            return
        letter.queue_id = f"Q{len(self._relay.transactions):04d}{next(self._relay._codes):04d}"
        letter.taken = True
        self._reach("reply")
        self._say(f"250 2.0.0 Ok: queued as {letter.queue_id}".encode(), "reply")
        letter.answer = 250
        self._reach("replied")

    def _rset(self, _: str) -> None:
        self._mail_ok = self._rcpt_ok = False
        self._write(b"250 2.0.0 ok")

    def _quit(self, _: str) -> None:
        self._reach("quit")
        self._write(b"221 2.0.0 bye")
        raise HangUpError

    def _letter(self) -> Transaction:
        if self._now is None:
            raise HangUpError  # a client that begins in the middle
        return self._now

    def _say(self, reply: bytes | None, stage: str) -> bool:
        """Give the reply, or what the lot has instead; whether it was the reply."""
        fault = self._fault_at(stage)
        if fault is None or fault.kind == "slow":
            if reply is not None:
                self._write(reply)
            return True
        if fault.kind == "nonsense":
            self._write(b"this is no reply of SMTP at all")
            raise HangUpError
        if fault.kind == "half":
            self._sock.sendall(b"250 2.0.0 O")
            raise HangUpError
        digit = "5" if fault.kind == "5xx" else "4"
        enhanced = self._relay.code(digit)
        number = 421 if fault.kind == "421" else 550 if digit == "5" else 451
        letter = self._now if stage in OF_A_LETTER else None
        if letter is not None:
            letter.codes.append(enhanced)
        self._write(f"{number} {enhanced} not now".encode())
        if letter is not None:
            letter.answer = number
        if number == 421:
            raise HangUpError
        return False

    def _fault_at(self, stage: str) -> Fault | None:
        """The fault of this stage; what ends the connection ends it here, what is slow waits."""
        fault = self._own if stage in OF_A_CONNECTION else self._now and self._now.fault
        if fault is None or fault.stage != stage:
            return None
        self._relay.came_about(fault)
        if stage in OF_A_LETTER and fault.kind in WITHOUT_A_WORD:
            self._letter().broken_at = stage
        if fault.kind == "slow":
            time.sleep(0.15)
        if fault.kind == "reset":
            linger = struct.pack("ii", 1, 0)  # RST instead of FIN
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if fault.kind in ("drop", "reset"):
            raise HangUpError
        return fault

    def _reach(self, stage: str) -> None:
        if self._relay.mute_seconds:
            time.sleep(self._relay.mute_seconds)
        self._relay.at(self._tag, stage)

    def _write(self, reply: bytes) -> None:
        self._sock.sendall(reply + b"\r\n")

    def _readline(self) -> bytes:
        line = self._file.readline()
        if not line.endswith(b"\n"):
            raise HangUpError
        return line

    def _read(self, octets: int) -> bytes:
        found = self._file.read(octets)
        if len(found) < octets:
            raise HangUpError
        return found
