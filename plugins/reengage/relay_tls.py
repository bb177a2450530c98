"""The way to a relay: an SMTP conversation that begins inside verified TLS.

Promises: TLS 1.2 or newer with a suite that SP 800-52r2 approves, certificate and name verified,
from the first octet (`smtps`) or by STARTTLS, which is mandatory (SEC-18, EML-11 to EML-13); no
preference of a patient (PRV-24) and no setting weakens that. Which authorities are believed is the
system's to say, as OpenSSL finds them (SSL_CERT_FILE, SSL_CERT_DIR), and `trust` adds to them;
SSLKEYLOGFILE is not heard. What a server said before TLS is forgotten, and octets it sent before
they were asked for end the conversation (RFC 3207 section 4.2, the CVE-2021-33515 class). The log-
in goes inside TLS only. Refuses with one clear sentence: which relay, what failed, what to do. No
text of a server and no password is quoted.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reengage.errors import ConfigurationError, RelayError
from reengage.relay_faults import explained
from reengage.relay_url import RelayUrl
from reengage.relay_wire import Wire

CONNECT_SECONDS = 30.0
"""How long a connection may take to come about, before anybody speaks."""

_SUITES_1_2 = (  # SP 800-52r2 section 3.3.1.1: ECDHE for forward secrecy, AES-GCM
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_SUITES_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")  # section 3.3.1.2


class RelayConnectError(RelayError):
    """No conversation over verified TLS came about; nothing of any letter was sent."""

    reached_data = False


class RelayBusyError(RelayConnectError):
    """The relay put the conversation off (4xx, RFC 5321 section 3.8): it may have time later."""


@dataclass(frozen=True)
class TransportEvidence:
    """What protected the conversation: kept with each letter."""

    host: str
    tls_version: str
    cipher: str
    peer_sha256: str


def begin(url: RelayUrl, *, trust: Path | None, timeout: float) -> tuple[Wire, TransportEvidence]:
    """A conversation inside TLS, past EHLO and, where the URL names a user, logged in.

    `timeout` is for each step once the connection is there. Raises RelayConnectError, and
    ConfigurationError where `trust` cannot be read.
    """
    context = _context_of(trust)
    wire = None
    try:
        within = min(timeout, CONNECT_SECONDS)
        wire = Wire(socket.create_connection((url.host, url.port), within), timeout)
        evidence = _secured(wire, url, context)
        if url.user:
            _log_in(wire, url)
    except BaseException as error:
        if wire is not None:
            wire.close()
        if isinstance(error, OSError):
            seconds = timeout if wire is not None else min(timeout, CONNECT_SECONDS)
            raise _failure(url, *explained(error, seconds)) from None
        raise
    return wire, evidence


def _context_of(trust: Path | None) -> ssl.SSLContext:
    """The context, made once a process for what the file holds now: it takes longer than TLS."""
    state = None
    if trust is not None:
        with suppress(OSError):  # who reads it says what is wrong
            found = trust.stat()
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
    return _kept_context(trust, state)


@lru_cache(maxsize=8)
def _kept_context(trust: Path | None, _: tuple[int, int, int] | None) -> ssl.SSLContext:
    return _context(trust)


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


def _secured(wire: Wire, url: RelayUrl, context: ssl.SSLContext) -> TransportEvidence:
    """From the first octet to the EHLO inside TLS."""
    if url.scheme == "smtps":
        evidence = _start_tls(wire, url, context)
        _expect(url, "greeting", 220, wire.reply())
    else:
        _expect(url, "greeting", 220, wire.reply())
        _require_silence(wire, url)
        _expect(url, "EHLO", 250, wire.greet())
        _require_silence(wire, url)
        if "starttls" not in wire.offers:
            raise _failure(
                url,
                "offers no STARTTLS, and letters never go in the clear",
                "have its operator enable it, or use smtps:// with port 465",
            )
        _expect(url, "STARTTLS", 220, wire.command("STARTTLS"))
        _require_silence(wire, url)
        evidence = _start_tls(wire, url, context)
    _expect(url, "EHLO inside TLS", 250, wire.greet())
    return evidence


def _require_silence(wire: Wire, url: RelayUrl) -> None:
    """Octets that are here unasked came in the clear and would be taken for answers inside TLS."""
    if wire.peek():
        raise _failure(
            url,
            "sent octets ahead of the TLS handshake, as someone on the line would",
            "have its operator and the network looked at before trying again",
        )


def _start_tls(wire: Wire, url: RelayUrl, context: ssl.SSLContext) -> TransportEvidence:
    """TLS up. What was heard before is forgotten here and by the EHLO that follows."""
    secured = wire.secure(context, url.host)
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


def _log_in(wire: Wire, url: RelayUrl) -> None:
    """AUTH PLAIN or LOGIN, inside TLS only."""
    offered = wire.offers.get("auth", "").upper().split()
    user, password = url.user.encode(), url.password.encode()
    if "PLAIN" in offered:
        code, _ = wire.command("AUTH PLAIN " + _base64(b"\0" + user + b"\0" + password))
    elif "LOGIN" in offered:
        code, _ = wire.command("AUTH LOGIN " + _base64(user))
        if code == 334:
            code, _ = wire.command(_base64(password))
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
            RelayBusyError if 400 <= code < 500 else RelayConnectError,  # RFC 4954 section 6
        )


def _expect(url: RelayUrl, step: str, wanted: int, reply: tuple[int, bytes]) -> None:
    if reply[0] != wanted:
        code = f"{reply[0]}" if reply[0] > 0 else "no SMTP"
        raise _failure(
            url,
            f"answered with {code} instead of {wanted} at the {step}",
            "ask its operator, then run again",
            RelayBusyError if 400 <= reply[0] < 500 else RelayConnectError,
        )


def _failure(
    url: RelayUrl, what: str, todo: str, kind: type[RelayConnectError] = RelayConnectError
) -> RelayConnectError:
    return kind(f"relay {url} {what}; {todo}; nothing was sent")


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
