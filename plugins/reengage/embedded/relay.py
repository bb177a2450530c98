"""The embedded relay: a real SMTP server with TLS that delivers into a Maildir.

It stands for the vendor's relay on a machine that has none. Promises: STARTTLS before MAIL, TLS 1.2
or newer (EML-11, EML-13); what it answers with 250 lies in the Maildir, complete and synced. A
letter's file is the envelope as the trace headers of a final delivery (one Return-Path line, then
one Delivered-To line: RFC 5321 section 4.4), and after them the letter, byte for byte. It offers
SIZE, 8BITMIME and PIPELINING, and neither delivery notices nor log-ins, which it does not have. No
address and no line of a letter enters its log. It listens on the loopback, until SIGTERM or SIGINT.
Run by `RelayProcess`, or by hand: `python -m reengage.embedded.relay --help`. As the mail sink of
docker-compose.yaml it listens on the container's network, with certificates that others made.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from aiosmtpd.smtp import SMTP, Envelope, Session

from reengage.embedded.certificates import Certificates, ensure_certificates
from reengage.embedded.processes import ProcessError, wait_until

LOOPBACK = "127.0.0.1"
MAX_BYTES = 1 << 20
START_SECONDS = 30
STOP_SECONDS = 10

log = logging.getLogger(__name__)


class Delivery:
    """Writes each letter into `directory`, a Maildir."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for part in ("tmp", "new", "cur"):
            (directory / part).mkdir(parents=True, exist_ok=True, mode=0o700)

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        """Offer what works: several commands in one breath, not the log-in aiosmtpd announces."""
        session.host_name = name
        kept = [line for line in replies if not line.startswith("250-AUTH")]
        return [*kept[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", kept[-1]]

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Deliver, then accept: a letter that was said to be queued is on disk."""
        queue_id = secrets.token_hex(8)
        trace = [f"Return-Path: <{envelope.mail_from}>"]
        trace += [f"Delivered-To: {recipient}" for recipient in envelope.rcpt_tos]
        head = "".join(f"{line}\r\n" for line in trace).encode("ascii")
        content = envelope.original_content or b""
        # In a thread: the letters of other connections go on while this one reaches the disk.
        name = f"{time.time_ns()}.{queue_id}.localhost"
        await asyncio.to_thread(self._deliver, name, head + content)
        return f"250 2.0.0 Ok: queued as {queue_id}"

    async def handle_exception(self, error: Exception) -> str:
        """A fault on this side is no refusal; its text, which may quote a line, is not logged."""
        log.error("a connection met with %s", type(error).__name__)
        return "451 4.3.0 Local error, try again later"

    def _deliver(self, name: str, content: bytes) -> None:
        temporary, final = self._directory / "tmp" / name, self._directory / "new" / name
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        directory = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # without it the name may be lost with the power
        finally:
            os.close(directory)


class RelayProcess:
    """The relay as a process of its own. It ends with its starter, even a killed one."""

    def __init__(self, maildir: Path, certificates: Path, log: Path) -> None:
        self._maildir = maildir
        self._certificates = certificates
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its relay URL."""
        return f"smtp://localhost:{self.port}"

    @property
    def maildir(self) -> Path:
        """Where what it took lies."""
        return self._maildir

    @property
    def ca(self) -> Path:
        """The authority to trust."""
        return Certificates.within(self._certificates).ca

    def start(self) -> None:
        """Start it and wait until it accepts. Raises ProcessError, naming its log."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            port_file = Path(scratch) / "port"
            command = [sys.executable, "-m", "reengage.embedded.relay", "--until-stdin-ends"]
            command += ["--maildir", str(self._maildir), "--port-file", str(port_file)]
            command += ["--certificates", str(self._certificates)]
            with self._log.open("ab") as output:
                self._child = subprocess.Popen(  # noqa: S603 - our own command
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # a Ctrl-C is for its starter, which still needs it
                )
            try:
                wait_until(
                    lambda: port_file.exists() or self._ended(),
                    seconds=START_SECONDS,
                    what="the embedded relay's start",
                    every=0.02,
                )
                if not port_file.exists():
                    raise ProcessError(f"the embedded relay did not start; its log is {self._log}")
                self.port = int(port_file.read_text(encoding="ascii"))
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End it, politely first. Does nothing when it runs no more."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()

    def __enter__(self) -> RelayProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def _ended(self) -> bool:
        return self._child is None or self._child.poll() is not None


async def serve(
    maildir: Path,
    certificates: Certificates,
    port_file: Path | None,
    *,
    until_stdin_ends: bool,
    host: str = LOOPBACK,
    port: int = 0,
) -> None:
    """Serve until it is told to stop; without a port on a free one, written to `port_file`."""
    # Not create_default_context(): it writes the session keys where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.cert, certificates.key)
    handler = Delivery(maildir)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            handler,
            hostname="localhost",
            ident="reengage embedded relay",
            tls_context=context,
            require_starttls=True,
            data_size_limit=MAX_BYTES,
            loop=loop,
        )

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if until_stdin_ends:
        loop.add_reader(sys.stdin, stopped.set)  # nobody writes: readable means that it ended
    server = await loop.create_server(session, host, port)
    if port_file is not None:
        temporary = port_file.with_name(port_file.name + ".new")
        temporary.write_text(str(server.sockets[0].getsockname()[1]), encoding="ascii")
        temporary.replace(port_file)
    await stopped.wait()
    server.close()


def main() -> None:
    """Run the relay in the foreground."""
    parser = argparse.ArgumentParser(description="An SMTP relay with TLS that fills a Maildir.")
    parser.add_argument("--maildir", type=Path, required=True)
    parser.add_argument("--certificates", type=Path, required=True,
                        help="on the loopback: made if there are none")  # fmt: skip
    parser.add_argument("--port-file", type=Path, help="written once it accepts")
    parser.add_argument("--host", default=LOOPBACK, help=f"({LOOPBACK})")
    parser.add_argument("--port", type=int, default=0, help="(any that is free)")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the starter")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    # aiosmtpd logs addresses to the one, asyncio objects that hold a letter to the other.
    for name in ("mail", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    made = ensure_certificates if options.host == LOOPBACK else Certificates.within
    serving = serve(
        options.maildir,
        made(options.certificates),
        options.port_file,
        until_stdin_ends=options.until_stdin_ends,
        host=options.host,
        port=options.port,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(serving)


if __name__ == "__main__":
    main()
