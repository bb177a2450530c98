"""IMAP: the mailbox that letters come back to, over verified TLS (RFC 9051, RFC 8314).

`imaps://user:password@host:993/INBOX`, TLS from the first octet; there is no form without. Messages
are fetched one by one and without being marked as read, as far as they are read at most. What is
dealt with is deleted, by its own UID where the server can (UIDPLUS); people's messages are moved to
the staff's folder. Neither a message nor the server's text is in an error: both may name a patient.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from reengage.errors import ConfigurationError, RelayError
from reengage.responses.letterbox import OCTETS

SECONDS = 60.0
"""How long the server may take for one answer."""
PER_RUN = 5000
"""Messages that one run takes; the next goes on."""
logging.getLogger("imapclient").setLevel(logging.WARNING)  # its debugging quotes messages


class MailboxError(RelayError):
    """The operator of the return mailbox must act; what was not read waits there."""


@dataclass(frozen=True)
class Url:
    """Where a mailbox is."""

    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    folder: str = "INBOX"

    @classmethod
    def parse(cls, url: str) -> Url:
        """The URL. Raises ConfigurationError for any other form, without quoting it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None
        folder = unquote(parts.path.removeprefix("/")) or "INBOX"
        sound = parts.scheme == "imaps" and host and parts.username and parts.password
        if not sound or parts.query or parts.fragment or not folder.isprintable():
            raise ConfigurationError(
                "setting REENGAGE_RETURNS_IMAP has an address that is none of a mailbox over TLS;"
                " write it like imaps://user:password@mail.example.org:993/INBOX, several with"
                " spaces between"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(host, port or 993, user, password, folder)


@dataclass(frozen=True)
class Message:
    """A message in the mailbox."""

    content: bytes = field(repr=False)
    _client: IMAPClient = field(repr=False)
    _uid: int = field(repr=False)
    _staff: str = field(repr=False)

    def remove(self) -> None:
        """It is dealt with."""
        self._client.delete_messages(self._uid, silent=True)
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge(self._uid)
        else:
            self._client.expunge()

    def to_staff(self) -> None:
        """It is for people. Without MOVE who is killed in between leaves them a second copy."""
        if not self._client.folder_exists(self._staff):
            self._client.create_folder(self._staff)
        if self._client.has_capability("MOVE"):
            self._client.move(self._uid, self._staff)
        else:
            self._client.copy(self._uid, self._staff)
            self.remove()


@contextmanager
def opened(url: str, *, staff: str, trust: Path | None) -> Iterator[Iterator[Message]]:
    """The messages of the mailbox, oldest first, while the block runs.

    Raises ConfigurationError for a URL that is none, MailboxError where the server cannot be
    reached over verified TLS, refuses the log-in, or answers out of order.
    """
    where = Url.parse(url)
    client: IMAPClient | None = None
    try:
        client = IMAPClient(
            where.host, where.port, ssl=True, ssl_context=_context(trust), timeout=SECONDS
        )
        client.login(where.user, where.password)
        client.select_folder(where.folder)
        yield _messages(client, staff)
        with suppress(IMAPClientError, OSError):  # all is done by now
            client.logout()
    except LoginError:
        raise _failed(where, "refused the log-in", "check user and password") from None
    except ssl.SSLCertVerificationError:
        raise _failed(
            where,
            "shows a certificate that does not verify",
            "have its operator renew it, or set REENGAGE_RETURNS_TRUST",
        ) from None
    except (IMAPClientError, OSError) as error:
        kind = type(error).__name__
        raise _failed(where, f"did not answer as expected ({kind})", "try again later") from None
    finally:
        if client is not None:
            with suppress(OSError):  # closed by now
                client.shutdown()


def _messages(client: IMAPClient, staff: str) -> Iterator[Message]:
    for uid in sorted(client.search("ALL"))[:PER_RUN]:
        asked = f"BODY.PEEK[]<0.{OCTETS}>"
        found = client.fetch([uid], [asked]).get(uid, {})
        content = next((value for key, value in found.items() if key.startswith(b"BODY[]")), None)
        if isinstance(content, bytes):  # else somebody else has removed it
            yield Message(content, client, uid, staff)


def _context(trust: Path | None) -> ssl.SSLContext:
    # Not create_default_context(): it writes the session keys where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    if trust is not None:
        try:
            context.load_verify_locations(cafile=trust)
        except OSError:
            raise ConfigurationError(
                f"{trust} holds no certificate authority to trust; mend REENGAGE_RETURNS_TRUST"
            ) from None
    return context


def _failed(where: Url, what: str, todo: str) -> MailboxError:
    return MailboxError(
        f"the return mailbox at {where.host}:{where.port} {what}; {todo}; what was not read waits"
        " there"
    )
