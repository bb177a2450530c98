"""Roles: who may do what in Airflow and on the pages of the reports; the one table of both.

Three kinds of people and one service account. `python -m reengage roles sync` makes Airflow's FAB
roles exactly this, adding what is missing and taking what was added by hand (SEC-05). A role that
is not named here sees nothing of the reports. Values only: Airflow is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

DATA_ENGINEER, ANALYST, COMPLIANCE_OFFICER = "Data Engineer", "Analyst", "Compliance Officer"
AUDIT_SERVICE = "Audit Service"
"""The account with which the daily audit asks Airflow what ran (SEC-11)."""
ADMIN = "Admin"
"""Airflow's own; `sync` leaves it alone."""
PEOPLE = (DATA_ENGINEER, ANALYST, COMPLIANCE_OFFICER)

Capability = Literal["reports", "exact_counts", "try_out", "audit_trail", "disclosures", "decide"]
"""`reports` = pages of counts; `exact_counts` = small cells, too; `try_out` = a test letter to
staff; `audit_trail` = the pages of Compliance that name no patient; `disclosures` = a patient's
accounting and letter; `decide` = resolve a letter, pause a campaign and let it go on."""

CAPABILITIES: Mapping[str, frozenset[Capability]] = {
    DATA_ENGINEER: frozenset({"reports", "exact_counts", "try_out"}),
    ANALYST: frozenset({"reports"}),
    COMPLIANCE_OFFICER: frozenset(
        {"reports", "exact_counts", "try_out", "audit_trail", "disclosures", "decide"}
    ),
    # Whoever administers Airflow can give themselves any role, and the next `roles sync` says so.
    # Without one they look into no patient's record and decide nothing (minimum necessary).
    ADMIN: frozenset({"reports", "exact_counts", "audit_trail"}),
}

Permission = tuple[str, str]
"""Action and resource, in the words of FAB."""


@dataclass(frozen=True)
class Role:
    """One of ours: what it may do everywhere, and with the DAGs of ours."""

    name: str
    permissions: frozenset[Permission]
    dags: frozenset[str]
    """Actions on each DAG of ours; for `Data Engineer` on all DAGs, as `permissions` says."""


def _reads(*resources: str) -> frozenset[Permission]:
    return frozenset(("can_read", resource) for resource in resources)


def _menus(*resources: str) -> frozenset[Permission]:
    return frozenset(("menu_access", resource) for resource in resources)


_OWN_ACCOUNT = frozenset(
    (action, resource)
    for action in ("can_read", "can_edit")
    for resource in ("My Password", "My Profile")
)
# Without `Plugins` there is no menu item of the reports; without task instances, no page of a run.
_LOOKS = (
    _reads("Website", "Plugins", "DAG Runs", "Task Instances", "DAG Versions", "DAG Warnings")
    | _menus("DAGs")
    | _OWN_ACCOUNT
)

ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role(
            DATA_ENGINEER,
            _LOOKS
            | _reads(
                "DAGs", "DAG Code", "DAG Dependencies", "Assets", "Asset Aliases", "Backfills",
                "Cluster Activity", "Pools", "ImportError", "Jobs", "Task Logs", "XComs",
                "HITL Detail", "Providers", "Triggers",
            )
            | _menus(
                "Browse", "Admin", "DAG Dependencies", "DAG Runs", "Assets", "Cluster Activity",
                "Docs", "Documentation", "Jobs", "Task Instances", "Plugins", "Providers", "Pools",
                "XComs",
            )
            # Neither deletes a run or a task's history, which the audit compares the ledger with,
            # nor answers an approval, nor touches connections and variables.
            | {
                ("can_edit", "DAGs"), ("can_create", "DAG Runs"), ("can_edit", "DAG Runs"),
                ("can_create", "Task Instances"), ("can_edit", "Task Instances"),
                ("can_create", "Backfills"), ("can_edit", "Backfills"), ("can_edit", "Pools"),
            },
            frozenset(),
        ),
        Role(ANALYST, _LOOKS, frozenset({"can_read"})),
        Role(
            COMPLIANCE_OFFICER,
            _LOOKS
            | _reads("Audit Logs", "HITL Detail", "DAG Dependencies", "Assets", "Asset Aliases")
            | _menus("Browse", "Audit Logs", "HITL Detail", "DAG Runs", "Task Instances", "Assets")
            | {("can_edit", "HITL Detail")},
            frozenset({"can_read", "can_edit"}),  # releases or stops a campaign; edits no run of it
        ),
        Role(
            AUDIT_SERVICE,
            _reads("Website", "DAGs", "DAG Runs", "Task Instances"),
            frozenset(),
        ),
    )
}  # fmt: skip

DAG_ACCESS: Mapping[str, Mapping[str, set[str]]] = {
    role.name: {"DAGs": set(role.dags)} for role in ROLES.values() if role.dags
}
"""`access_control` of every DAG of ours: a new campaign is there for whom it concerns at once."""


def capabilities_of(roles: Iterable[str]) -> frozenset[Capability]:
    """What the holder of these roles may do on our pages; nothing for any other role."""
    found: frozenset[Capability] = frozenset()
    for role in roles:
        found |= CAPABILITIES.get(role, frozenset())
    return found
