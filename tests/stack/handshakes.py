"""Runs in a container: how sockets of the stack answer who speaks TLS, and who does not. JSON.

For each service that is named: `verified` (the protocol that was agreed on, certificate and name
checked against the stack's authority), `other_name` and `other_authority` (what the check says
where one of them is another), `old` and `next` (what a real offer of TLS 1.1, or 1.2, at most is
answered with), `plain` (what plain bytes are answered with).
"""

import json
import socket
import ssl
import struct
import sys
import warnings
from contextlib import suppress

import certifi

CA = "/tls/ca/ca.pem"
SECONDS = 10
SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL's, before its handshake
LOG_IN = b"user\0tasks\0\0"  # without that request
PLAIN = {
    "postgres": struct.pack("!II", 8 + len(LOG_IN), 196608) + LOG_IN,
    "redis": b"PING\r\n",
    "api-server": b"GET / HTTP/1.0\r\n\r\n",
    "portal": b"GET / HTTP/1.0\r\n\r\n",
    "mail": b"EHLO worker\r\nMAIL FROM:<a@example.org>\r\n",
}
PORTS = {"postgres": 5432, "redis": 6379, "api-server": 8080, "portal": 8443, "mail": 2525}


def connected(service: str) -> socket.socket:
    """At the place where TLS begins."""
    plain = socket.create_connection((service, PORTS[service]), SECONDS)
    if service == "postgres":
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
    elif service == "mail":
        answers = plain.makefile("rb")
        answers.readline()
        for line in (b"EHLO worker\r\n", b"STARTTLS\r\n"):
            plain.sendall(line)
            while answers.readline()[3:4] == b"-":
                pass
    return plain


def shake(service: str, context: ssl.SSLContext, name: str) -> str:
    """The protocol, or why there is none."""
    try:
        with connected(service) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
            return str(tls.version())
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return str(error.reason)


def ours() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


def the_publics() -> ssl.SSLContext:
    """Who trusts the public authorities only; SSL_CERT_FILE, the default, has ours too."""
    return ssl.create_default_context(cafile=certifi.where())


def offered(service: str, newest: ssl.TLSVersion) -> str:
    """What an offer of TLS 1.0 up to this version is answered with.

    The offer is made here and sent by hand, so that it is the service that refuses and not our own
    side: asyncio hangs up where others send an alert.
    """
    context = ours()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    answered, offer = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(answered, offer, server_hostname=service).do_handshake()
    hello = offer.read()
    assert hello[9:11] == newest.to_bytes(2, "big"), hello  # RFC 5246 section 7.4.1.2
    with connected(service) as connection:
        connection.sendall(hello)
        try:
            said = connection.recv(7)
        except ConnectionResetError:
            said = b""
    if not said:
        return "hung up"
    return f"alert {said[6]}" if said[0] == 21 else f"record {said[0]}"


def plain(service: str) -> str:
    """What the service says to plain bytes, to its end or until it asks for more."""
    said = b""
    with socket.create_connection((service, PORTS[service]), SECONDS) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.sendall(PLAIN[service])
            while piece := connection.recv(4096):
                said += piece
                if service == "mail" and said.count(b"\r\n5"):
                    break
        except ConnectionResetError:
            said += b"(reset)"
        except TimeoutError:
            said += b"(nothing more)"
    return said.decode("latin-1")


print(
    json.dumps(
        {
            service: {
                "verified": shake(service, ours(), service),
                "other_name": shake(service, ours(), "other.example"),
                "other_authority": shake(service, the_publics(), service),
                "old": offered(service, ssl.TLSVersion.TLSv1_1),
                "next": offered(service, ssl.TLSVersion.TLSv1_2),
                "plain": plain(service),
            }
            for service in sys.argv[1:]
        }
    )
)
