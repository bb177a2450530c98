"""Trust: which authorities the practice believes, and what they say of revoked certificates.

Read once per task from one directory; nothing is fetched from the network, so that a run depends
on no one else's server and tells no authority to whom the practice writes:

    anchors/*.pem         the authorities believed
    intermediates/*.pem   authorities below them; patients' certificates come without
    crl/*.crl, *.pem      revocation lists, DER or PEM
    ocsp/*.der            OCSP answers

Without a directory nobody is believed. Whatever cannot be read or was signed by none of the
authorities is a ConfigurationError that names the file: a list nobody signed must not look like
one that is missing. Statements that are merely out of date load, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.x509.verification import Store

from reengage.errors import ConfigurationError
from reengage.sealing.revocation import (
    UNREADABLE,
    Statement,
    authority_of,
    read_crl,
    read_ocsp,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Trust:
    """Authorities and their statements, each statement's signature verified."""

    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()
    statements: tuple[Statement, ...] = ()

    @cached_property
    def store(self) -> Store | None:
        """The anchors as path validation takes them; None where there are none."""
        return Store(list(self.anchors)) if self.anchors else None

    @cached_property
    def _by_authority(self) -> dict[bytes, tuple[Statement, ...]]:
        found: dict[bytes, list[Statement]] = {}
        for statement in self.statements:
            found.setdefault(statement.authority, []).append(statement)
        return {authority: tuple(statements) for authority, statements in found.items()}

    def standing(
        self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime
    ) -> Literal["good", "revoked", "unknown"]:
        """What is known of `certificate` at `at`. One voice that says revoked outweighs all."""
        serial = certificate.serial_number
        said = [
            statement
            for statement in self._by_authority.get(authority_of(issuer), ())
            if statement.issued <= at and _is_about(statement, certificate)
        ]
        if any(serial in statement.revoked for statement in said):
            return "revoked"
        return "good" if any(at <= statement.until for statement in said) else "unknown"

    def current_until(self, at: datetime) -> datetime | None:
        """The earliest instant after which a list or answer in force at `at` has no successor.

        A statement about the same certificates that lasts longer is its successor. None = there is
        no statement in force. From that instant on letters that need it are not sent.
        """
        ends: dict[object, datetime] = {}
        for one in self.statements:
            # An answer `unknown` speaks of nobody, and its end changes nothing.
            if one.issued <= at <= one.until and (one.covers is None or one.covers):
                scope = (one.authority, one.covers, one.only, one.points)
                ends[scope] = max(one.until, ends.get(scope, one.until))
        return min(ends.values(), default=None)


def _is_about(statement: Statement, certificate: x509.Certificate) -> bool:
    if statement.covers is not None and certificate.serial_number not in statement.covers:
        return False
    if statement.only and (statement.only == "authorities") != is_authority(certificate):
        return False
    return statement.points is None or bool(statement.points & _points(certificate))


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that its key certifies others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _points(certificate: x509.Certificate) -> frozenset[str]:
    """URLs at which a certificate says that its revocation list is."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return frozenset()
    names = (name for point in points for name in point.full_name or ())
    return frozenset(n.value for n in names if isinstance(n, x509.UniformResourceIdentifier))


def load_trust(directory: Path | None) -> Trust:
    """What `directory` holds; nobody is trusted without one. Raises ConfigurationError."""
    if directory is None:
        return Trust()
    if not directory.is_dir():
        raise ConfigurationError(
            f"the trust directory {directory} does not exist; make it, with anchors/*.pem, or take"
            " the setting out"
        )
    anchors = tuple(_authorities(directory, "anchors"))
    if not anchors:
        raise ConfigurationError(
            f"{directory / 'anchors'} holds no *.pem; store the authorities there that certify"
            " patients, or take the setting out"
        )
    intermediates = tuple(_authorities(directory, "intermediates"))
    known = (*anchors, *intermediates)
    lists = [
        _read(path, lambda content: read_crl(content, known))
        for path in (*_files(directory, "crl", "*.crl"), *_files(directory, "crl", "*.pem"))
    ]
    answers = [
        answer
        for path in _files(directory, "ocsp", "*.der")
        for answer in _read(path, lambda content: read_ocsp(content, known))
    ]
    return Trust(anchors, intermediates, (*lists, *answers))


def _files(directory: Path, name: str, pattern: str) -> list[Path]:
    return sorted((directory / name).glob(pattern))


def _authorities(directory: Path, name: str) -> Iterator[x509.Certificate]:
    for path in _files(directory, name, "*.pem"):
        yield from _read(path, _read_authorities)


def _read_authorities(content: bytes) -> list[x509.Certificate]:
    found = x509.load_pem_x509_certificates(content)
    if not all(map(is_authority, found)):
        raise ValueError("it holds a certificate of someone who certifies nobody")
    return found


def _read(path: Path, reader: Callable[[bytes], T]) -> T:
    try:
        return reader(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UNREADABLE as error:
        raise ConfigurationError(
            f"{path} cannot be used: {error}; store it again from the authority's own page"
        ) from None
