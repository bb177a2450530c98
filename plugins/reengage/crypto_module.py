"""Cryptographic modules: which one computes what, and whether it runs in its FIPS mode (SEC-26).

Two are at work: Python's `ssl` brings the one that speaks TLS, `cryptography` the one that seals. A
mode that is on does not make a module validated: its certificate number is not in the module, so
whoever needs it looks the version up at NIST's validation programme. All FIPS 140-2 certificates
moved to the historical list on 2026-09-21; FIPS 140-3 is what counts.
"""

from __future__ import annotations

import ssl

from cryptography.hazmat.backends.openssl.backend import backend

_NOT_VALIDATED = "not in FIPS mode: no validated module"
_LOOK_UP = "FIPS mode: look its version up at csrc.nist.gov/projects/cmvp (FIPS 140-3)"


def crypto_module() -> dict[str, dict[str, str | bool]]:
    """`tls` and `sealing`: of each the version, whether its FIPS mode is on, and what that says."""
    return {
        "tls": _told(ssl.OPENSSL_VERSION, fips=_python_in_fips_mode()),
        "sealing": _told(backend.openssl_version_text(), fips=bool(backend._fips_enabled)),
    }


def _told(version: str, *, fips: bool) -> dict[str, str | bool]:
    return {"version": version, "fips_mode": fips, "status": _LOOK_UP if fips else _NOT_VALIDATED}


def _python_in_fips_mode() -> bool:
    """What OpenSSL's default properties ask for; False for a Python that is built without it."""
    try:
        from _hashlib import get_fips_mode
    except ImportError:
        return False
    return bool(get_fips_mode())
