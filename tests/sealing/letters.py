"""A practice, a patient, and letters between them, for tests of sealing."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from reengage.sealing.certificates import Certificate, read_certificate
from reengage.sealing.smime import Signer
from sealing.authority import MAIL, NOW, PRACTICE, for_key, for_mailbox, key, name, pem, root

ROOT = root()
PAYLOAD = (
    b'Content-Type: text/plain; charset="utf-8"; hp="cipher"\r\n'
    b"Subject: CANARY\r\n\r\nYour appointment is on Thursday.\r\n"
)
SIGNERS = ("rsa-2048", "p-256", "p-384")


def signer(kind: str = "p-256") -> Signer:
    """The practice's identity."""
    return _signer(kind)


@lru_cache(maxsize=8)
def _signer(kind: str) -> Signer:
    private = key(kind, "practice")
    return Signer.from_pem(pem(private).encode(), chain(kind), address=PRACTICE, at=NOW)


def chain(kind: str = "p-256") -> bytes:
    """The practice's certificate and the root's."""
    return _chain(kind)


@lru_cache(maxsize=8)
def _chain(kind: str) -> bytes:
    private = key(kind, "practice")
    extensions = (*for_key(private), *MAIL, *for_mailbox(PRACTICE))
    own = ROOT.certify(private, extensions, subject=name("the practice"))
    return (pem(own) + pem(ROOT.certificate)).encode()


def patient(kind: str = "p-256", which: str = "") -> tuple[Certificate, Any]:
    """A patient's certificate and private key."""
    return _patient(kind, which)


@lru_cache(maxsize=16)
def _patient(kind: str, which: str) -> tuple[Certificate, Any]:
    private = key(kind, which)
    return read_certificate(pem(ROOT.certify(private))), private
