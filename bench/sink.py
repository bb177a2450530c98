"""A sink for letters that is not what is measured: a process per connection, TLS from the start.

It speaks as much SMTP as senders need, counts a letter once it has answered for it, and keeps
nothing. It offers PIPELINING, CHUNKING, SIZE, 8BITMIME and DSN; who sends uses what they know.

    with Sink(certificates) as sink:
        ... smtps://localhost:sink.port, trusting certificates.ca ...
        sink.letters(), sink.seconds()
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from time import process_time_ns

from reengage.embedded.certificates import Certificates

OFFERS = ("PIPELINING", "CHUNKING", "SIZE 10485760", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES")
MOST_CONNECTIONS = 1 << 10
"""After so many, counters are used again."""
_END = b"\r\n.\r\n"
_TAKEN = b"250 2.0.0 Ok: queued as %X\r\n"
_REPLIES = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"HELO": b"250 sink\r\n",
    b"DATA": b"354 Go ahead\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Sink:
    """Listens while the block runs."""

    def __init__(self, certificates: Certificates, offers: tuple[str, ...] = OFFERS) -> None:
        self._certificates = certificates
        lines = ["250-sink", *(f"250-{one}" for one in offers), "250 SMTPUTF8"]
        self._replies = {**_REPLIES, b"EHLO": "".join(f"{one}\r\n" for one in lines).encode()}
        self._shared = mmap.mmap(-1, 16 * MOST_CONNECTIONS)
        self._counts = memoryview(self._shared).cast("Q")
        self._process: BaseProcess | None = None
        self.port = 0

    def letters(self) -> int:
        """How many it took so far."""
        return sum(self._counts[:MOST_CONNECTIONS])

    def seconds(self) -> float:
        """Processor time of the connections that have ended."""
        return sum(self._counts[MOST_CONNECTIONS:]) / 1e9

    def forget(self) -> None:
        """Count from nothing. No connection may be open."""
        self._shared[:] = bytes(len(self._shared))

    def __enter__(self) -> Sink:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.cert, self._certificates.key)
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = listener.getsockname()[1]
        self._process = get_context("fork").Process(target=self._serve, args=(listener, context))
        self._process.start()
        listener.close()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.join()

    def _serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
        number = 0
        while True:
            sock, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                with suppress(OSError):
                    self._converse(sock, context, number % MOST_CONNECTIONS)
                self._counts[MOST_CONNECTIONS + number % MOST_CONNECTIONS] += process_time_ns()
                os._exit(0)
            sock.close()
            number += 1

    def _converse(self, plain: socket.socket, context: ssl.SSLContext, slot: int) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = context.wrap_socket(plain, server_side=True)
        sock.sendall(b"220 sink ESMTP\r\n")
        dialogue = _Dialogue(self._replies, lambda: self._take(slot))
        while not dialogue.ended:
            # Who sends in two pieces without TCP_NODELAY would wait 40 ms for an acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            octets = sock.recv(65536)
            if not octets:
                return
            if replies := dialogue.answer(octets):
                sock.sendall(replies)

    def _take(self, slot: int) -> bytes:
        self._counts[slot] += 1
        return _TAKEN % self._counts[slot]


class _Dialogue:
    """What is answered to what was heard; octets of letters are passed over."""

    def __init__(self, replies: dict[bytes, bytes], take: Callable[[], bytes]) -> None:
        self._replies, self._take = replies, take
        self._heard = b""
        self._within = False  # the content of DATA
        self._searched = 0
        self.ended = False

    def answer(self, octets: bytes) -> bytes:
        """All replies that are due, for one write."""
        self._heard = self._heard + octets if self._heard else octets
        replies: list[bytes] = []
        while not self.ended:
            reply = self._to_the_end() if self._within else self._to_a_command()
            if reply is None:
                break
            replies.append(reply)
        return b"".join(replies)

    def _to_the_end(self) -> bytes | None:
        end = self._heard.find(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._heard) - len(_END) + 1)
            return None
        self._heard, self._within, self._searched = self._heard[end + len(_END) :], False, 0
        return self._take()

    def _to_a_command(self) -> bytes | None:
        end = self._heard.find(b"\r\n")
        if end < 0:
            return None
        verb, after = self._heard[:4].upper(), end + 2
        if verb == b"BDAT":
            after += int(self._heard[5:end].split(b" ")[0])
            if len(self._heard) < after:
                return None
        self._heard = self._heard[after:]
        if verb == b"BDAT":
            return self._take()
        if verb == b"DATA":
            self._within, self._heard = True, b"\r\n" + self._heard
        self.ended = verb == b"QUIT"
        return self._replies.get(verb, b"500 5.5.2 what\r\n")
