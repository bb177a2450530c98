"""Seal: a letter becomes the finished message, in the way that was chosen for its recipient.

What leaves is sealed once and kept so; who checks it opens the finished bytes by the content key,
or by the link in the notice, as the recipient will (opened.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reengage.compose import finish
from reengage.errors import ConfigurationError, LetterError
from reengage.pipeline.composing import Wording, letter_parts, links_of, notice_parts, render
from reengage.pipeline.run import Run
from reengage.sealing import portal, smime
from reengage.sealing.certificates import Certificate
from reengage.sealing.protection import protect
from reengage.sealing.way import Way


@dataclass(frozen=True)
class Sealed:
    """A finished letter, and what opens it where the message itself does not."""

    way: Way
    message: bytes = field(repr=False)
    certificate: str | None = None
    """Digest of the certificate that it is sealed for."""
    signed_by: bytes | None = field(default=None, repr=False)
    """DER of the practice's certificate under which it is signed."""
    content_key: bytes | None = field(default=None, repr=False)
    deposit: tuple[str, bytes] | None = field(default=None, repr=False)
    """Message id and ciphertext that it leaves at the portal."""
    portal_url: str | None = None


def seal_letter(
    run: Run,
    wording: Wording,
    declared: Mapping[str, str],
    recipient: str,
    identity: str,
    way: Way,
    certificate: Certificate | None = None,
) -> Sealed:
    """The finished letter for these formatted fields.

    Raises LetterError, never with a value, and CertificateFault for a certificate that passed its
    check and cannot be encrypted to.
    """
    if way.mode == "portal":
        return _for_the_portal(run, wording, declared, recipient, identity, way)
    parts = letter_parts(run, wording.letter, declared, recipient, identity)
    if way.mode == "tls":
        return Sealed(way, finished(run, parts.fields, parts.entity))
    if certificate is None or run.signer is None:
        raise LetterError("a letter is to be sealed for a certificate that is not there")
    outer, payload = protect(parts.fields, parts.entity)
    now = run.settings.now()
    sealed = smime.seal(payload, certificate, run.signer, signed_at=now)
    return Sealed(
        way,
        finished(run, outer, sealed.entity),
        certificate=certificate.digest,
        signed_by=run.signer.certificate,
        content_key=sealed.content_key,
    )


def finished(run: Run, fields: Sequence[bytes], entity: bytes, *, signed: bool = True) -> bytes:
    """The message of these fields and this entity, with its DKIM signature."""
    return finish(
        fields,
        entity,
        practice=run.practice,
        date=run.settings.now(),
        dkim_key=run.dkim_key if signed else None,
    )


def _for_the_portal(
    run: Run,
    wording: Wording,
    declared: Mapping[str, str],
    recipient: str,
    identity: str,
    way: Way,
) -> Sealed:
    if run.practice.portal is None or wording.notice is None:
        raise ConfigurationError("practice.yaml has lost its `portal`; restore it")
    said = render(run, wording.letter, declared, links_of(run, identity))
    left = portal.deposit(portal.Page(said.subject, said.text, said.html))
    link = left.link(run.practice.portal.url)
    notice = notice_parts(run, wording.notice, link, recipient, identity)
    message = finished(run, notice.fields, notice.entity)
    deposit = (left.message_id, left.ciphertext)
    return Sealed(way, message, deposit=deposit, portal_url=run.practice.portal.url)
