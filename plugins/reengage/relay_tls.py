"""The way to a relay: an SMTP conversation that begins inside verified TLS.

Promises: TLS 1.2 or newer with a suite that SP 800-52r2 approves, certificate and name verified,
from the first octet (`smtps`) or by STARTTLS, which is mandatory (SEC-18, EML-11 to EML-13);
nothing can weaken that, no preference of a patient (PRV-24) and no variable of the environment
either. What a server said before TLS is forgotten, and octets it sent before they were asked for
end the conversation (RFC 3207 section 4.2, the CVE-2021-33515 class). The log-in goes inside TLS
only. Refuses with one clear sentence: which relay, what failed, what to do. No text of a server and
no password is quoted.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from reengage.errors import ConfigurationError, RelayError
from reengage.relay_faults import EndlessReplyError, explained
from reengage.relay_url import RelayUrl

_SUITES_1_2 = (  # SP 800-52r2 section 3.3.1.1: ECDHE for forward secrecy, AES-GCM
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_SUITES_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")  # section 3.3.1.2
_MAX_LINE = 8192
_MAX_REPLY = 1 << 16


class RelayConnectError(RelayError):
    """No conversation over verified TLS came about; nothing of any letter was sent."""

    reached_data = False


@dataclass(frozen=True)
class TransportEvidence:
    """What protected the conversation: kept with each letter."""

    host: str
    tls_version: str
    cipher: str
    peer_sha256: str


class _BoundedSmtp(smtplib.SMTP):
    """Hears no more of a reply than makes sense: a relay could fill the memory with one."""

    def getreply(self) -> tuple[int, bytes]:
        """Code and text, -1 where it is no reply. Closes and raises where it has no end."""
        if self.file is None and self.sock is not None:
            self.file = self.sock.makefile("rb")
        texts: list[bytes] = []
        octets = 0
        while True:
            line = self._heard_line()
            octets += len(line)
            if octets > _MAX_REPLY or not line.endswith(b"\n"):
                self.close()
                raise EndlessReplyError("a reply has no end")
            texts.append(line[4:].strip(b" \t\r\n"))
            if not line[:3].isdigit():
                return -1, b"\n".join(texts)
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(texts)

    def _heard_line(self) -> bytes:
        try:
            line: bytes = self.file.readline(_MAX_LINE + 1) if self.file is not None else b""
        except OSError:
            self.close()
            raise smtplib.SMTPServerDisconnected("connection lost") from None
        if not line:
            self.close()
            raise smtplib.SMTPServerDisconnected("connection ended")
        return line


def begin(
    url: RelayUrl, *, trust: Path | None, timeout: float
) -> tuple[smtplib.SMTP, TransportEvidence]:
    """A conversation inside TLS, past EHLO and, where the URL names a user, logged in.

    Raises RelayConnectError, and ConfigurationError where `trust` cannot be read.
    """
    context = _context(trust)
    smtp = _BoundedSmtp(local_hostname="localhost", timeout=timeout)
    try:
        evidence = _open(smtp, url, context, timeout)
        if url.user:
            _log_in(smtp, url)
    except BaseException as error:
        smtp.close()
        if isinstance(error, OSError):
            raise _failure(url, *explained(error, timeout)) from None
        raise
    return smtp, evidence


def _context(trust: Path | None) -> ssl.SSLContext:
    # Not create_default_context(): it writes the session keys where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Level 2: no RSA key under 2048 bits and no SHA-1 signature anywhere in the chain.
    context.set_ciphers("@SECLEVEL=2:" + ":".join(_SUITES_1_2))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # RFC 5280, as Python 3.13 has it
    context.hostname_checks_common_name = False  # RFC 9525: the alternative names only
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET  # each is a full handshake
    if trust is not None:
        try:
            context.load_verify_locations(cafile=trust)
        except OSError:
            raise ConfigurationError(
                f"{trust} holds no certificate authority to trust; mend REENGAGE_RELAY_TRUST"
            ) from None
    return context


def _open(
    smtp: smtplib.SMTP, url: RelayUrl, context: ssl.SSLContext, timeout: float
) -> TransportEvidence:
    sock = smtp.sock = socket.create_connection((url.host, url.port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the dot follows the letter at once
    # An address literal: no look-up of our own name, which may block (RFC 5321 section 4.1.3).
    address = sock.getsockname()[0]
    smtp.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    if url.scheme == "smtps":
        evidence = _secure(smtp, url, context)
        _expect(url, "greeting", 220, smtp.getreply())
    else:
        _expect(url, "greeting", 220, smtp.getreply())
        _require_silence(smtp, url)
        _expect(url, "EHLO", 250, smtp.ehlo())
        _require_silence(smtp, url)
        _start_tls(smtp, url)
        _require_silence(smtp, url)
        evidence = _secure(smtp, url, context)
    _expect(url, "EHLO inside TLS", 250, smtp.ehlo())
    return evidence


def _start_tls(smtp: smtplib.SMTP, url: RelayUrl) -> None:
    if not smtp.has_extn("starttls"):
        raise _failure(
            url,
            "offers no STARTTLS, and letters never go in the clear",
            "have its operator enable it, or use smtps:// with port 465",
        )
    _expect(url, "STARTTLS", 220, smtp.docmd("STARTTLS"))


def _require_silence(smtp: smtplib.SMTP, url: RelayUrl) -> None:
    """Octets that are here unasked came in the clear and would be taken for answers inside TLS."""
    if smtp.sock is None or smtp.file is None:
        return
    timeout = smtp.sock.gettimeout()
    smtp.sock.settimeout(0)  # peek() would wait for octets otherwise
    early = smtp.file.peek(1)
    smtp.sock.settimeout(timeout)
    if early:
        raise _failure(
            url,
            "sent octets ahead of the TLS handshake, as someone on the line would",
            "have its operator and the network looked at before trying again",
        )


def _secure(smtp: smtplib.SMTP, url: RelayUrl, context: ssl.SSLContext) -> TransportEvidence:
    """TLS up. What was heard before is forgotten here and by the EHLO that follows."""
    if smtp.sock is None:
        raise smtplib.SMTPServerDisconnected
    smtp.sock = secured = context.wrap_socket(smtp.sock, server_hostname=url.host)
    smtp.file = None
    cipher, _, _ = secured.cipher() or ("", "", 0)
    if cipher not in _SUITES_1_2 + _SUITES_1_3:  # Python cannot choose among those of TLS 1.3
        raise _failure(
            url,
            f"chose {cipher}, which SP 800-52r2 does not approve",
            "have its operator prefer AES-GCM",
        )
    certificate = secured.getpeercert(binary_form=True) or b""
    fingerprint = hashlib.sha256(certificate).hexdigest()
    return TransportEvidence(url.host, secured.version() or "", cipher, fingerprint)


def _log_in(smtp: smtplib.SMTP, url: RelayUrl) -> None:
    """AUTH PLAIN or LOGIN. smtplib's login() puts a password beyond ASCII into its exception."""
    offered = str(smtp.esmtp_features.get("auth", "")).upper().split()
    user, password = url.user.encode(), url.password.encode()
    if "PLAIN" in offered:
        code, _ = smtp.docmd("AUTH", "PLAIN " + _base64(b"\0" + user + b"\0" + password))
    elif "LOGIN" in offered:
        code, _ = smtp.docmd("AUTH", "LOGIN " + _base64(user))
        if code == 334:
            code, _ = smtp.docmd(_base64(password))
    else:
        raise _failure(
            url,
            "offers neither AUTH PLAIN nor AUTH LOGIN, and its URL gives a user",
            "take user and password out of the URL, or have its operator enable one of them",
        )
    if code != 235:
        raise _failure(
            url,
            f"refused the log-in with {code}",
            "check user and password of its URL" if code >= 500 else "try again later",
        )


def _expect(url: RelayUrl, step: str, wanted: int, reply: tuple[int, bytes]) -> None:
    if reply[0] != wanted:
        code = f"{reply[0]}" if reply[0] > 0 else "no SMTP"
        raise _failure(
            url,
            f"answered with {code} instead of {wanted} at the {step}",
            "ask its operator, then run again",
        )


def _failure(url: RelayUrl, what: str, todo: str) -> RelayConnectError:
    return RelayConnectError(f"relay {url} {what}; {todo}; nothing was sent")


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
