"""The way to a relay: its URL, and an SMTP conversation that begins inside verified TLS.

Promises: TLS 1.2 or newer, certificate and name verified, from the first octet (`smtps`) or by
STARTTLS, which is mandatory (SEC-18, EML-11 to EML-13); nothing can weaken that, no preference of a
patient either (PRV-24). What a server said
before TLS is forgotten, and octets it sent ahead of the handshake end the conversation (RFC 3207
section 4.2, the CVE-2021-33515 class). The log-in goes inside TLS only. Refuses with one clear
sentence: which relay, what failed, what to do. No text of a server and no password is quoted.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import smtplib
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from reengage.errors import ConfigurationError, RelayError

_CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM"  # of TLS 1.2: SP 800-52r2 section 3.3.1, RFC 9325

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class RelayConnectError(RelayError):
    """No conversation over verified TLS came about; nothing of any letter was sent."""

    reached_data = False


@dataclass(frozen=True)
class RelayUrl:
    """Where a relay listens. `smtp` = STARTTLS is mandatory, `smtps` = TLS from the first octet."""

    scheme: Literal["smtp", "smtps"]
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> RelayUrl:
        """The URL. Raises ConfigurationError for any other form, without quoting it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # its text may quote the password
            raise _malformed("has a malformed host or port") from None
        scheme: Literal["smtp", "smtps"] = "smtps" if parts.scheme == "smtps" else "smtp"
        if parts.scheme != scheme:
            raise _malformed("begins with neither smtp:// nor smtps://")
        if not (_HOST.fullmatch(host) or _is_ip(host)) or port == 0:
            raise _malformed("names no host, or one that is malformed")
        if parts.query or parts.fragment or parts.path not in ("", "/") or "?" in url or "#" in url:
            raise _malformed("carries a path or options, and there is none that could weaken TLS")
        if bool(parts.username) != bool(parts.password):
            raise _malformed("gives a user or a password without the other")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(scheme, host, port or (465 if scheme == "smtps" else 587), user, password)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class TransportEvidence:
    """What protected the conversation: kept with each letter."""

    host: str
    tls_version: str
    cipher: str
    peer_sha256: str


def begin(
    url: RelayUrl, *, trust: Path | None, timeout: float
) -> tuple[smtplib.SMTP, TransportEvidence]:
    """A conversation inside TLS, past EHLO and, where the URL names a user, logged in.

    Raises RelayConnectError, and ConfigurationError where `trust` cannot be read.
    """
    context = _context(trust)
    smtp = smtplib.SMTP(local_hostname="localhost", timeout=timeout)
    try:
        evidence = _open(smtp, url, context, timeout)
        if url.user:
            _log_in(smtp, url)
    except BaseException as error:
        smtp.close()
        if isinstance(error, OSError):
            raise _failure(url, *_explained(error, timeout)) from None
        raise
    return smtp, evidence


def _context(trust: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
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
        _expect(url, "EHLO", 250, smtp.ehlo())
        _start_tls(smtp, url)
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
    # Octets already here came in the clear and would be taken for answers inside TLS.
    if smtp.sock is not None and smtp.file is not None:
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


def _explained(error: OSError, timeout: float) -> tuple[str, str]:
    """What failed, and what to do. OpenSSL's reasons are constants: nothing of a peer is quoted."""
    # smtplib wraps the error of the socket in one of its own.
    cause = error.__context__ if isinstance(error, smtplib.SMTPException) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _CERTIFICATE_FAULTS.get(
            cause.verify_code,
            (
                f"shows a certificate that is not valid ({cause.verify_message})",
                "have its operator mend it",
            ),
        )
    if isinstance(cause, TimeoutError):
        return f"did not answer within {timeout:g} s", "check host and port and that it runs"
    if isinstance(cause, ConnectionRefusedError):
        return "refused the connection", "check host and port and that it runs, then run again"
    if isinstance(cause, socket.gaierror):
        return "has a host name that does not resolve", "check the host in its URL"
    reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return "speaks no TLS 1.2 or newer", "have its operator enable TLS 1.2 and 1.3"
    if reason and "EOF" not in reason:
        return (
            f"and this side agree on no TLS ({reason.lower().replace('_', ' ')})",
            "check that smtps:// goes to an implicit-TLS port and smtp:// to a STARTTLS one, and"
            " that it takes TLS 1.2 with AES-GCM or TLS 1.3",
        )
    if isinstance(cause, OSError) and not isinstance(cause, (ssl.SSLError, ConnectionError)):
        return (
            f"cannot be reached ({os.strerror(cause.errno or 0)})",
            "check host, port and network",
        )
    return "hung up before it was ready for a letter", "ask its operator, then run again"


_CERTIFICATE_FAULTS = {  # by OpenSSL's X509_V_ERR_ numbers
    9: ("shows a certificate that is not valid yet", "check the clocks of both machines"),
    10: ("shows a certificate that has expired", "have its operator renew it"),
    18: (
        "shows a self-signed certificate",
        "have its operator get one from an authority, or trust their own with REENGAGE_RELAY_TRUST",
    ),
    62: ("shows a certificate for another name", "use the name of the certificate in its URL"),
    64: ("shows a certificate for another address", "use the name of the certificate in its URL"),
} | dict.fromkeys(
    (19, 20, 21),
    (
        "shows a certificate of an unknown authority",
        "if it is the right one, name its file in REENGAGE_RELAY_TRUST",
    ),
)


def _failure(url: RelayUrl, what: str, todo: str) -> RelayConnectError:
    return RelayConnectError(f"relay {url} {what}; {todo}; nothing was sent")


def _malformed(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"a relay URL {what};"
        " write smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465"
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
