"""Rules: who may open which route, and what is recorded of it; the one table.

A route that is not named here is opened by nobody, and a test that reads the app's own routes says
so before anybody meets it. What a rule records is written to the ledger before the page is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reengage.roles import Capability


@dataclass(frozen=True)
class Rule:
    """What a route asks of its visitor. `needs` None = anybody, also without a log-in."""

    needs: Capability | None
    records: str | None = None
    """What an access record says was opened; None = nothing of the practice is shown."""


RULES: Mapping[str, Rule] = {
    "static": Rule(None),
    "overview": Rule("reports", "reports/overview"),
    "campaign": Rule("reports", "reports/campaign"),
    "campaign_export": Rule("reports", "reports/campaign"),
    "hold": Rule("decide", "campaign"),
    "trial": Rule("try_out", "reports/test letter"),
    "tried": Rule("try_out", "test letter"),
    "dag": Rule("reports", "reports/campaign"),
    "run": Rule("reports", "reports/run"),
    "run_export": Rule("reports", "reports/run"),
    "compliance": Rule("audit_trail", "compliance"),
    "verify": Rule("audit_trail", "compliance/verify"),
    "ledger": Rule("audit_trail", "compliance/ledger"),
    "ledger_export": Rule("audit_trail", "compliance/ledger"),
    "entry": Rule("audit_trail", "compliance/ledger/entry"),
    "agreements": Rule("audit_trail", "compliance/agreements"),
    "approvals": Rule("audit_trail", "compliance/approvals"),
    "alerts": Rule("audit_trail", "compliance/alerts"),
    "access": Rule("audit_trail", "compliance/access"),
    "keys": Rule("audit_trail", "compliance/keys"),
    "unknown": Rule("audit_trail", "compliance/unknown"),
    "resolve": Rule("decide", "compliance/unknown"),
    "preview": Rule("disclosures", "compliance/preview"),
    "previewed": Rule("disclosures", "preview"),
    "disclosures": Rule("disclosures", "compliance/disclosures"),
    "accounting": Rule("disclosures", "disclosures"),
}
"""By the name of the route."""
