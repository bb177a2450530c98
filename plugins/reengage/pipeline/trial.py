"""Trial: a test letter to somebody on the staff, with made-up data, by the way that letters go.

Everything that stands before a letter stands before it: the agreement and the listed host
(SEC-20), verified TLS, the compiled template, the DKIM key. It tells of nobody, so it is no
disclosure: the ledger has an access record of who sent it. Its subject begins with a mark, its
opt-out link leads nowhere, and it goes to addresses of the practice's own domains only: nobody can
write to a patient with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from reengage import relay, store
from reengage.campaigns import load_campaign
from reengage.errors import ConfigurationError, LetterError
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.composing import Wording, letter_parts, said_in, wordings
from reengage.pipeline.letter import format_declared
from reengage.pipeline.preflight import endpoint
from reengage.pipeline.run import Run, local_day
from reengage.pipeline.seal import finished
from reengage.practice import Practice, is_address
from reengage.settings import Settings

MARK = b"[TEST] "
_SAMPLES = {
    "patient.given_name": "Testina",
    "appointment.location": "Sample Clinic, 1 Test Street",
    "medication.name": "Samplamin",
    "medication.dosage_text": "10 MG Oral Tablet",
}
"""Made-up values by the contract's column; instants are worked out."""


@dataclass(frozen=True)
class Tried:
    """What became of it."""

    outcome: str
    """sent, refused, deferred or unknown, as of any letter."""
    reply: str
    """Stage and codes where it was not sent."""
    baa_id: str
    tls: str


def staff_domains(practice: Practice) -> set[str]:
    """Domains whose addresses are the practice's own."""
    addresses = (practice.from_address, practice.reply_to, *practice.alerts.email)
    return {address.rpartition("@")[2].lower() for address in addresses}


def send_trial(
    settings: Settings,
    slug: str,
    address: str,
    *,
    language: str = "en",
    variant: str | None = None,
    by: str,
    account: str | None = None,
) -> Tried:
    """Send it. Raises ConfigurationError for an address that is no staff's or a language that the
    campaign lacks, VendorError, RelayError; nothing was sent then.
    """
    campaign = load_campaign(settings.home, slug)
    run = Run(uuid4(), local_day(settings.now(), campaign), "live", campaign, settings)
    wording = _wording(run, language, variant)
    if not is_address(address) or address.rpartition("@")[2].lower() not in staff_domains(
        run.practice
    ):
        raise ConfigurationError(
            "a test letter goes to an address of the practice's own domains only"
            f" ({', '.join(sorted(staff_domains(run.practice)))}), as practice.yaml has them"
        )
    way_out = endpoint(run)
    message = _message(run, wording, address, language)
    detail: dict[str, Any] = {
        "campaign": slug, "language": language, "template_sha256": wording.letter.digest,
        "vendor": way_out.vendor.name, "baa_id": way_out.baa_id,
    } | ({"account": account} if account else {})  # fmt: skip
    with way_out.open(timeout=relay.HURRIED_SECONDS) as line:
        # Before it leaves: what cannot be recorded is not done.
        with run.store.begin() as connection:
            store.require_keyring(connection, run.keyring)
            record = access(actor=by, action="tested", of="test letter", detail=detail)
            append(connection, run.keyring, [record])
        outcome = line.send(
            run.practice.from_address, address, message,
            envid=run.run_id.hex, on_attempt=lambda: None,
        )  # fmt: skip
        return _tried(outcome, way_out.baa_id, line)


def _wording(run: Run, language: str, variant: str | None) -> Wording:
    found = wordings(run)
    name = said_in(language, variant)
    if name not in found:
        raise ConfigurationError(
            f"campaign {run.campaign.slug!r} is not said in {name!r};"
            f" there is {', '.join(sorted(found))}"
        )
    return found[name]


def _message(run: Run, wording: Wording, address: str, language: str) -> bytes:
    at = run.settings.now() + timedelta(days=7)
    row: dict[str, Any] = {rule.from_: at for rule in run.campaign.fields.values()}
    row |= {
        rule.from_: _SAMPLES.get(rule.from_, "Sample")
        for rule in run.campaign.fields.values()
        if rule.as_ == "text"
    }
    row["time_zone"] = run.campaign.time_zone
    declared = format_declared(run, row, language)
    parts = letter_parts(run, wording.letter, declared, address, f"trial/{run.run_id}")
    marked = [_marked(one) for one in parts.fields]
    if marked == list(parts.fields):
        raise LetterError("the test letter has no subject to mark; it was not sent")
    return finished(run, marked, parts.entity)


def _marked(field: bytes) -> bytes:
    name, colon, value = field.partition(b": ")
    return name + colon + MARK + value if name.lower() == b"subject" else field


def _tried(outcome: relay.Outcome, baa_id: str, line: relay.RelayConnection) -> Tried:
    evidence = line.evidence
    reply = "" if outcome.kind == "sent" else str(outcome.reason or "")
    return Tried(outcome.kind, reply, baa_id, f"{evidence.tls_version} {evidence.cipher}")
