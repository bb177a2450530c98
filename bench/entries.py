"""What a mailing leaves in the ledger, as records: a letter's disclosure, a task's run event."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from reengage.ledger import records
from reengage.ledger.records import Disclosure, Record

AGREEMENT = {"vendor": "acme_mail", "baa_id": "BAA-2026-004"}
KEY = "pseudonym-3f1c9a52"


def disclosure(
    run: UUID,
    letter: UUID,
    *,
    campaign: str,
    day: date,
    patient: str,
    recipient: str,
    authorization: str,
    queue: str,
    outcome: str = "sent",
) -> Record:
    """Of a letter that was offered to a relay, with all the evidence."""
    transport = {
        "host": "relay.acme-mail.example", "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384", "peer_sha256": "5f" * 32, "kind": outcome,
        "stage": "data", "code": 250 if outcome == "sent" else 550,
        "enhanced_code": "2.0.0" if outcome == "sent" else "5.1.1", "queue_id": queue,
        "recipient_policy": None, "requiretls": False,
    }  # fmt: skip
    return Disclosure(
        letter=letter, run=run, campaign=campaign, campaign_date=day, patient=patient,
        recipient=recipient, pseudonym_key=KEY, purpose=campaign,
        fields=["appointment.location", "appointment.start_at", "patient.given_name"],
        authorization=authorization, template_sha256="a1" * 32, suite_sha256="b2" * 32,
        **AGREEMENT, message_id=f"<{letter}@clinic.example>", seal="tls", seal_basis="contract",
        outcome=outcome, reason=None, transport=transport,
    ).record()  # fmt: skip


def event(run: UUID, type_: str, job: str) -> Record:
    """Of one of a run's tasks."""
    facet: dict[str, Any] = {
        "_producer": "https://clinic.example/reengage",
        "_schemaURL": "https://openlineage.io/spec/facets/1-1-0/SchemaDatasetFacet.json",
    }
    columns = [{"name": f"column_{number}", "type": "text"} for number in range(12)]
    return records.run_event({
        "eventTime": "2026-06-01T15:00:00.000000Z", "eventType": type_,
        "producer": "https://clinic.example/reengage",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(run), "facets": {"nominalTime": facet}},
        "job": {"namespace": "reengage", "name": job, "facets": {}},
        "inputs": [{"namespace": "postgres://warehouse", "name": "contract.patient",
                    "facets": {"schema": {**facet, "fields": columns}}}],
        "outputs": [{"namespace": "postgres://store", "name": "letter", "facets": {}}],
    })  # fmt: skip
