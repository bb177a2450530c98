"""What kept a conversation with a relay from beginning: one clear phrase, and what to do about it.

OpenSSL's reasons are constants and its numbers are fixed: nothing that a peer sent is quoted.
"""

from __future__ import annotations

import os
import socket
import ssl

from reengage.relay_wire import EndlessReplyError


def explained(error: OSError, timeout: float) -> tuple[str, str]:
    """What failed, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_FAULTS.get(
            error.verify_code,
            (
                f"shows a certificate that is not valid ({error.verify_message})",
                "have its operator mend it",
            ),
        )
    if isinstance(error, EndlessReplyError):
        return "answers without end", "ask its operator, then run again"
    if isinstance(error, TimeoutError):
        return f"did not answer within {timeout:g} s", "check host and port and that it runs"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection", "check host and port and that it runs, then run again"
    if isinstance(error, socket.gaierror):
        return "has a host name that does not resolve", "check the host in its URL"
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return "speaks no TLS 1.2 or newer", "have its operator enable TLS 1.2 and 1.3"
    if reason and "EOF" not in reason:
        return (
            f"and this side agree on no TLS ({reason.lower().replace('_', ' ')})",
            "check that smtps:// goes to an implicit-TLS port and smtp:// to a STARTTLS one, and"
            " that it takes TLS 1.2 with AES-GCM or TLS 1.3",
        )
    if isinstance(error, OSError) and not isinstance(error, (ssl.SSLError, ConnectionError)):
        return (
            f"cannot be reached ({os.strerror(error.errno or 0)})",
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
    26: (
        "shows a certificate that is not for servers",
        "have its operator get one for TLS servers (extended key usage serverAuth)",
    ),
    62: ("shows a certificate for another name", "use the name of the certificate in its URL"),
    64: ("shows a certificate for another address", "use the name of the certificate in its URL"),
    79: (
        "shows a certificate that is signed by a certificate that is no authority's",
        "have its operator and the network looked at before trying again",
    ),
    **dict.fromkeys(
        (19, 20, 21),
        (
            "shows a certificate of an unknown authority",
            "if it is the right one, name its file in REENGAGE_RELAY_TRUST",
        ),
    ),
    **dict.fromkeys(
        (66, 67, 68),
        (
            "shows a certificate with a key or signature that is too weak in its chain",
            "have its operator get one with RSA of 2048 bits or P-256, signed with SHA-256",
        ),
    ),
}
