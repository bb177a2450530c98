"""A small IMAP server over TLS: what the reader of the return mailbox asks of one (RFC 9051).

    with ImapServer(certificates) as server:
        server.folders["INBOX"][7] = b"From: ..."      # UID to message
        ... read server.url, trusting certificates.ca ...

Without `extensions` it knows neither MOVE nor UIDPLUS. `hang_up_at` ends the connection when that
command comes, before it is carried out.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from reengage.embedded.certificates import Certificates

PASSWORD = "only-for-this-test"


@dataclass
class ImapServer:
    """Serves one connection after another in a thread of its own while the block runs."""

    certificates: Certificates
    extensions: Sequence[str] = ("MOVE", "UIDPLUS")
    hang_up_at: str | None = None

    def __post_init__(self) -> None:
        self.folders: dict[str, dict[int, bytes]] = {"INBOX": {}}
        self.deleted: set[int] = set()
        self.seen: set[int] = set()
        self.commands: list[str] = []
        self._stream = None

    @property
    def url(self) -> str:
        return f"imaps://returns:{PASSWORD}@localhost:{self.port}/INBOX"

    def __enter__(self) -> ImapServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.cert, self.certificates.key)
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with (
                    suppress(OSError, ssl.SSLError),
                    context.wrap_socket(sock, server_side=True) as secured,
                ):
                    _Session(self, secured).run()


@dataclass
class _Session:
    server: ImapServer
    sock: ssl.SSLSocket
    _buffer: bytes = field(default=b"", init=False)

    def run(self) -> None:
        self._say(b"* OK ready")
        while line := self._line():
            tag, _, command = line.partition(" ")
            self.server.commands.append(command)
            name = command.upper().removeprefix("UID ").split(" ")[0]
            if name == self.server.hang_up_at:
                return
            handler = getattr(self, f"_{name.lower()}", None)
            answer = handler(command) if handler else "BAD what"
            self._say(f"{tag} {answer or 'OK done'}".encode())
            if name == "LOGOUT":
                return

    def _capability(self, _: str) -> None:
        self._say(f"* CAPABILITY IMAP4rev1 {' '.join(self.server.extensions)}".encode())

    def _login(self, command: str) -> str | None:
        return None if f'"{PASSWORD}"' in command or command.endswith(PASSWORD) else "NO wrong"

    def _select(self, _: str) -> str:
        self._say(b"* %d EXISTS" % len(self.server.folders["INBOX"]))
        return "OK [READ-WRITE] done"

    def _search(self, _: str) -> None:
        uids = " ".join(map(str, self.server.folders["INBOX"]))
        self._say(f"* SEARCH {uids}".encode())

    def _fetch(self, command: str) -> None:
        found = re.search(r"FETCH (\d+) \(?BODY\.PEEK\[\]<0\.(\d+)>", command)
        if found is None:
            self.server.seen.add(0)  # anything else would mark the message as read
            return
        uid = int(found[1])
        if uid in self.server.folders["INBOX"]:
            content = self.server.folders["INBOX"][uid][: int(found[2])]
            self._say(
                b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n" % (uid, len(content)) + content + b")"
            )

    def _store(self, command: str) -> None:
        found = re.search(r"STORE (\d+) \+FLAGS(?:\.SILENT)? \(?\\Deleted", command)
        assert found, command
        self.server.deleted.add(int(found[1]))

    def _expunge(self, _: str) -> None:
        for uid in self.server.deleted:
            self.server.folders["INBOX"].pop(uid, None)

    def _list(self, command: str) -> None:
        name = command.split(" ")[-1].strip('"')
        if name in self.server.folders:
            self._say(f'* LIST () "." "{name}"'.encode())

    def _create(self, command: str) -> None:
        self.server.folders[command.split(" ")[1].strip('"')] = {}

    def _copy(self, command: str) -> None:
        uid, folder = command.split(" ")[-2:]
        target = self.server.folders[folder.strip('"')]
        target[len(target) + 1] = self.server.folders["INBOX"][int(uid)]

    def _move(self, command: str) -> None:
        self._copy(command)
        self.server.folders["INBOX"].pop(int(command.split(" ")[-2]))

    def _noop(self, _: str) -> None:
        pass

    def _logout(self, _: str) -> None:
        self._say(b"* BYE")

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            read = self.sock.recv(65536)
            if not read:
                return ""
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    def _say(self, line: bytes) -> None:
        self.sock.sendall(line + b"\r\n")
