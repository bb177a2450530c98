"""Authorities: whose certificates the services of an installation show each other; one file."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from reengage.errors import ConfigurationError


def read_authorities(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, the one that lasts longest first; at least one.

    Raises ConfigurationError where it holds none that can be read.
    """
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigurationError(
            f"{path} holds no certificates that can be read; name a file of them, in PEM"
        ) from None
    return sorted(found, key=lambda one: one.not_valid_after_utc, reverse=True)
