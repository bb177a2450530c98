"""The wire to a relay: commands out in groups, replies in from a buffer, in the clear or under TLS.

Promises: one write per group and no copy of a letter that is not needed; no more of a reply is
heard than makes sense, since a relay could fill the memory with one. An error of the connection
ends it. Where `say` raises, the last octet has not left for certain: TLS hands a record over whole
or not at all, and the record that failed is the one with the end.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress

from reengage.errors import RelayError

_MAX_LINE = 8192
_MAX_REPLY = 1 << 16
_READ = 4096


class HungUpError(RelayError, ConnectionError):
    """The relay ended the connection where a reply was due."""


class EndlessReplyError(RelayError, ConnectionError):
    """A reply that is longer than any that makes sense."""


class Wire:
    """One connection. `offers` is what the relay said at the last EHLO: keyword to its text."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._sock: socket.socket | None = sock
        self._timeout = timeout
        self._heard = b""
        self._at = 0  # what lies before it was understood
        self.offers: dict[str, str] = {}
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    @property
    def is_open(self) -> bool:
        """Whether this side has not ended the connection."""
        return self._sock is not None

    def wait_at_most(self, seconds: float) -> None:
        """From now on nothing may take longer than that."""
        if seconds != self._timeout and self._sock is not None:
            self._sock.settimeout(seconds)
            self._timeout = seconds

    def say(self, octets: bytes) -> None:
        """All of it in one write. Raises OSError, and then not all of it has left."""
        if self._sock is None:
            raise HungUpError("the connection has ended")
        try:
            self._sock.sendall(octets)
        except OSError:
            self.close()
            raise

    def reply(self) -> tuple[int, bytes]:
        """Code and text of the next reply, -1 where it is none. Raises OSError."""
        line = self._line()
        if line[3:4] != b"-":
            return (int(line[:3]) if line[:3].isdigit() else -1), line[4:].strip()
        texts: list[bytes] = []
        octets = 0
        while True:
            octets += len(line)
            if octets > _MAX_REPLY:
                self.close()
                raise EndlessReplyError("a reply has no end")
            texts.append(line[4:].strip())
            if not line[:3].isdigit():
                return -1, b"\n".join(texts)
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(texts)
            line = self._line()

    def command(self, line: str) -> tuple[int, bytes]:
        """Say one command, hear its reply. Raises OSError."""
        self.say(f"{line}\r\n".encode("ascii"))
        return self.reply()

    def greet(self) -> tuple[int, bytes]:
        """EHLO. What was offered before is forgotten. Raises OSError."""
        self.offers = {}
        code, text = self.command(f"EHLO {self._own_name()}")
        if code == 250:
            for line in text.decode("latin-1").split("\n")[1:]:
                # AUTH=LOGIN is how relays wrote it before there was a standard.
                keyword, _, parameters = line.replace("AUTH=", "AUTH ", 1).partition(" ")
                said = self.offers.get(keyword.lower(), "")
                self.offers[keyword.lower()] = f"{said} {parameters}".strip()
        return code, text

    def secure(self, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """TLS up, for this name. What was heard before is forgotten. Raises OSError."""
        if self._sock is None:
            raise HungUpError("the connection has ended")
        self._heard, self._at = b"", 0
        secured = context.wrap_socket(self._sock, server_hostname=host)
        self._sock = secured
        return secured

    def peek(self) -> bytes | None:
        """Octets that are here and were not asked for, empty where it ended; None = silence."""
        if self._sock is None or self._at < len(self._heard):
            return self._heard[self._at :]
        pending = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        if not pending and not self._poll.poll(0):
            return None
        self._sock.settimeout(0)  # under TLS it may be a word of the protocol's own
        try:
            self._heard, self._at = self._sock.recv(_READ), 0
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        except OSError:
            return b""
        finally:
            self._sock.settimeout(self._timeout)
        return self._heard

    def close(self) -> None:
        """End it, with no word. Does nothing where it has ended."""
        sock, self._sock = self._sock, None
        if sock is not None:
            with suppress(OSError):
                sock.close()

    def _own_name(self) -> str:
        """An address literal: no look-up of our own name, which may block (RFC 5321, 4.1.3)."""
        address = self._sock.getsockname()[0] if self._sock is not None else ""
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def _line(self) -> bytes:
        end = self._heard.find(b"\n", self._at)
        while end < 0:
            if len(self._heard) - self._at > _MAX_LINE:
                break
            self._hear()
            end = self._heard.find(b"\n", self._at)
        if end < 0 or end - self._at > _MAX_LINE:
            self.close()
            raise EndlessReplyError("a line of a reply has no end")
        line = self._heard[self._at : end]
        self._at = end + 1
        return line

    def _hear(self) -> None:
        """More octets. Raises OSError where there are none."""
        if self._sock is None:
            raise HungUpError("the connection has ended")
        try:
            octets = self._sock.recv(_READ)
        except OSError:
            self.close()
            raise
        if not octets:
            self.close()
            raise HungUpError("the relay ended the connection")
        self._heard = self._heard[self._at :] + octets
        self._at = 0
