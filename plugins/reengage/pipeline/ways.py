"""Ways: by what means a run's letters may be sealed, and the way of one recipient.

The decision itself is pure (sealing/way.py); here is where its arguments come from: the practice's
own identity, the vendor's entry, what the relay offered when the run began, the certificate on
file. The same is asked when a patient is decided about, when the letter is sealed and once more
before it is claimed (EML-23).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from reengage.pipeline.run import Run
from reengage.sealing.certificates import Certificate, CertificateFault, check_certificate
from reengage.sealing.trust import Trust
from reengage.sealing.way import Means, NoWay, Recipient, Way, choose, obstacle


@dataclass(frozen=True)
class Chosen:
    """How a letter is to be sealed, or why it may not be written."""

    way: Way | NoWay
    certificate: Certificate | None = field(default=None, repr=False)
    """The recipient's, where there is a sound one."""
    obstacle: str | None = None
    """What stands against S/MIME for who has a certificate on file."""


def means_of(connection: Connection, run: Run) -> Means:
    """By what means the run's letters may be sealed, as its preflight found the relay."""
    requires_tls = connection.execute(
        text("SELECT requires_tls FROM run WHERE run_id = :run_id"), {"run_id": run.run_id}
    ).scalar_one()
    return means_by(run, requires_tls=requires_tls)


def means_by(run: Run, *, requires_tls: bool) -> Means:
    """The same with a relay that offers REQUIRETLS, or none that does.

    The offer alone guarantees nothing: a relay may take it for a wish (ADR 0022). Who runs it must
    have said that it is enforced.
    """
    return Means(
        signs=run.signer is not None,
        by_contract=run.vendor.guarantee == "contract",
        requires_tls=requires_tls and run.vendor.guarantee == "requiretls",
        portal=run.practice.portal is not None,
    )


def choose_way(
    run: Run,
    means: Means,
    trust: Trust,
    *,
    address: str,
    certificate: str | None,
    reads_authenticated: bool | None,
) -> Chosen:
    """The way to this recipient, the certificate on file checked as of now."""
    if not (certificate or "").strip():
        return Chosen(choose(Recipient(), means))
    checked, fault = None, None
    try:
        checked = check_certificate(
            str(certificate), address=address, at=run.settings.now(), trust=trust
        )
    except CertificateFault as error:
        fault = error.code
    recipient = Recipient(True, fault, bool(reads_authenticated))
    return Chosen(choose(recipient, means), checked, obstacle(recipient, means))
