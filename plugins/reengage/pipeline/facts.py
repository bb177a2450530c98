"""Facts: what a room adds to its run event, counted in the transaction that the event commits with.

Counts, codes, names of columns and digests only; the schemas are in docs/schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from reengage.lineage import facets
from reengage.pipeline.configuration import digests
from reengage.pipeline.run import Run
from reengage.reasons import EXCLUDED

_RULES = {rule for reason in EXCLUDED for rule in reason.rules}


def decided(
    connection: Connection, run: Run, selected: Iterable[str], staged: Iterable[str]
) -> dict[str, Any]:
    """Who might be written to and why not the others; which columns were asked for and kept."""
    total = connection.execute(
        text(
            "SELECT count(*) AS candidates, count(*) FILTER (WHERE reasons = '{}') AS eligible"
            " FROM decision WHERE run_id = :run_id"
        ),
        {"run_id": run.run_id},
    ).one()
    excluded = connection.execute(
        text(
            "SELECT reason, count(*) AS patients FROM decision CROSS JOIN unnest(reasons) AS reason"
            " WHERE run_id = :run_id GROUP BY reason"
        ),
        {"run_id": run.run_id},
    )
    return {
        facets.CONSENT_GATE: facets.consent_gate(
            purpose=run.campaign.purpose,
            rules=_RULES,
            candidates=total.candidates,
            eligible=total.eligible,
            excluded={row.reason: row.patients for row in excluded},
        ),
        facets.MINIMUM_NECESSARY: facets.minimum_necessary(
            declared=run.campaign.sources(),
            selected=selected,
            staged=staged,
            suites=_of("suite/", digests(run)),
            templates=_of("template/", digests(run)),
            statements=_of("sql/", digests(run)),
        ),
    }


def disclosed(connection: Connection, run: Run, chunk: int | None = None) -> dict[str, Any]:
    """What became of the run's letters, or of a chunk's, and over which connections they went."""
    of = {"run_id": run.run_id, "chunk": chunk}
    where = "sender_run_id = :run_id AND (CAST(:chunk AS int) IS NULL OR chunk = :chunk)"
    outcomes = connection.execute(
        text(f"SELECT state, count(*) AS letters FROM letter WHERE {where} GROUP BY state"),  # noqa: S608
        of,
    ).all()
    seals = connection.execute(
        text(
            f"SELECT seal, count(*) AS letters FROM letter WHERE {where}"  # noqa: S608
            " AND attempted_at IS NOT NULL AND seal IS NOT NULL GROUP BY seal"
        ),
        of,
    ).all()
    ways = connection.execute(
        text(
            "SELECT evidence ->> 'host' AS host, evidence ->> 'tls_version' AS tls_version,"  # noqa: S608
            " evidence ->> 'cipher' AS cipher, evidence ->> 'peer_sha256' AS peer_sha256,"
            f" count(*) AS letters FROM letter WHERE {where} AND evidence ? 'host'"
            " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
        ),
        of,
    ).mappings()
    vendor = connection.execute(
        text("SELECT vendor, baa_id FROM run WHERE run_id = :run_id"), of
    ).one()
    return {
        facets.DISCLOSURE_BATCH: facets.disclosure_batch(
            letters={row.state: row.letters for row in outcomes},
            vendor=vendor.vendor,
            baa_id=vendor.baa_id,
            seals={row.seal: row.letters for row in seals},
        ),
        facets.TRANSPORT_EVIDENCE: facets.transport_evidence([dict(way) for way in ways]),
    }


def _of(kind: str, found: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(kind): sha256 for name, sha256 in found.items() if name.startswith(kind)
    }
