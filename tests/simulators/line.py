"""A server's end of a connection, which shows what the client sent as it was on the wire."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class HangUpError(Exception):
    """This side ends the connection."""


class Line:
    """Lines in and octets out, in the clear or under TLS.

    `heard(octets, under_tls)` gets everything as it comes off the wire.
    """

    def __init__(self, sock: socket.socket, heard: Callable[[bytes, bool], None]) -> None:
        self._socket = sock
        self._heard = heard
        self._buffer = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pump(self._tls.do_handshake)

    def readline(self) -> bytes:
        while b"\n" not in self._buffer:
            self._buffer += self.read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def read_some(self, most: int) -> bytes:
        """At least one octet and at most so many, of those that are here."""
        if not self._buffer:
            self._buffer = self.read()
        octets, self._buffer = self._buffer[:most], self._buffer[most:]
        return octets

    def readexactly(self, octets: int) -> bytes:
        while len(self._buffer) < octets:
            self._buffer += self.read()
        found, self._buffer = self._buffer[:octets], self._buffer[octets:]
        return found

    def write(self, octets: bytes) -> None:
        tls = self._tls
        if tls is None:
            self._socket.sendall(octets)
        else:
            self._pump(lambda: tls.write(octets))

    def wait_for_the_end(self) -> None:
        while self.read():
            pass

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def read(self) -> bytes:
        tls = self._tls
        octets = self._receive() if tls is None else self._pump(lambda: tls.read(65536))
        if not octets:
            raise HangUpError
        return octets

    def _receive(self) -> bytes:
        octets = self._socket.recv(65536)
        self._heard(octets, self._tls is not None)
        return octets

    def _pump(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                octets = self._receive()
                if not octets:
                    raise HangUpError from None
                self._incoming.write(octets)
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())
