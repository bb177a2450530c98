"""Airflow's roles and accounts, made to be what `roles` says: the door to FAB's tables.

One transaction: either all roles are as the table has them or none was touched. Permissions on
single DAGs are the DAG files' own (`roles.DAG_ACCESS`), which Airflow keeps in step, so they are
left alone here. Raises ConfigurationError where Airflow has another auth manager.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reengage.errors import ConfigurationError, StoreError
from reengage.roles import ADMIN, ROLES, Permission, Role

_DAG_LEVEL = ("DAG:", "DAG Run:")


@dataclass(frozen=True)
class Change:
    """What a role lacked, and what it had beyond the table."""

    role: str
    made: bool
    granted: Sequence[Permission]
    revoked: Sequence[Permission]


@dataclass(frozen=True)
class Account:
    """A log-in to make or to keep: its password is set when it is made, and when it differs."""

    name: str
    role: str
    password: str
    keep: bool = False
    """True = an account of that name is left as it is, closed or with another password."""


def differences(apply: bool) -> list[Change]:
    """How Airflow's roles differ from the table; with `apply` they do not afterwards.

    Raises StoreError where Airflow's database does not answer or has no tables of FAB.
    """
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    _require_fab()
    try:
        with create_session() as session:
            found = [_difference(session, role, apply) for role in ROLES.values()]
            if not apply:
                session.rollback()
    except SQLAlchemyError as error:
        raise StoreError(_NOT_THERE.format(type(error).__name__)) from None
    return [one for one in found if one.made or one.granted or one.revoked]


def ensure_accounts(accounts: Sequence[Account]) -> int:
    """Make the accounts that are not there, each with its one role; gives how many were made.

    For the embedded default: elsewhere accounts come from the practice's directory.
    """
    from airflow.providers.fab.auth_manager.models import Role as FabRole
    from airflow.providers.fab.auth_manager.models import User
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from werkzeug.security import check_password_hash, generate_password_hash

    made = 0
    with create_session() as session:
        for account in accounts:
            role = session.scalars(select(FabRole).filter_by(name=account.role)).unique().one()
            user = session.scalars(select(User).filter_by(username=account.name)).one_or_none()
            if user is not None and account.keep:
                continue
            if user is None:
                made += 1
                user = User()
                user.username = user.first_name = account.name
                user.last_name = f"({account.role})"
                user.email = f"{account.name}@localhost"
                session.add(user)
            user.active, user.roles = True, [role]
            if not user.password or not check_password_hash(user.password, account.password):
                user.password = generate_password_hash(account.password)
    return made


def ensure_admin() -> None:
    """Airflow's own role for who administers it, with all that FAB gives it (first start)."""
    from airflow.providers.fab.auth_manager.security_manager.override import (
        FabAirflowSecurityManagerOverride,
    )
    from airflow.utils.session import create_session

    with create_session() as session:
        for config in FabAirflowSecurityManagerOverride.ROLE_CONFIGS:
            if config["role"] == ADMIN:
                _difference(
                    session, Role(ADMIN, frozenset(config["perms"]), frozenset()), True, keep=True
                )


def _difference(session: Any, role: Role, apply: bool, *, keep: bool = False) -> Change:
    from airflow.providers.fab.auth_manager.models import Role as FabRole
    from sqlalchemy import select

    found = session.scalars(select(FabRole).filter_by(name=role.name)).unique().one_or_none()
    made = found is None
    if found is None:
        found = FabRole()
        found.name = role.name
        session.add(found)
        session.flush()
    has: dict[Permission, Any] = {
        (one.action.name, one.resource.name): one
        for one in found.permissions
        if one.action and one.resource and not one.resource.name.startswith(_DAG_LEVEL)
    }
    granted = sorted(role.permissions - has.keys())
    revoked = [] if keep else sorted(has.keys() - role.permissions)
    if apply:
        for permission in granted:
            found.permissions.append(_permission(session, *permission))
        for permission in revoked:
            found.permissions.remove(has[permission])
        session.flush()
    return Change(role.name, made, granted, revoked)


def _permission(session: Any, action: str, resource: str) -> Any:
    """The pair, which FAB knows only once somebody has named it."""
    from airflow.providers.fab.auth_manager.models import Action, Permission, Resource
    from sqlalchemy import select

    parts = {}
    for kind, name in ((Action, action), (Resource, resource)):
        one = session.scalars(select(kind).filter_by(name=name)).one_or_none()
        if one is None:
            one = kind(name=name)
            session.add(one)
            session.flush()
        parts[kind] = one
    pair = {"action_id": parts[Action].id, "resource_id": parts[Resource].id}
    known = session.scalars(select(Permission).filter_by(**pair)).unique().one_or_none()
    if known is None:
        known = Permission(**pair)
        session.add(known)
        session.flush()
    return known


def _require_fab() -> None:
    from airflow.configuration import conf

    manager = str(conf.get("core", "auth_manager"))
    if not manager.endswith("FabAuthManager"):
        raise ConfigurationError(
            "Airflow's auth manager is"
            f" {manager.rpartition('.')[2]}, which has no roles of its own to make; set"
            " AIRFLOW__CORE__AUTH_MANAGER to"
            " airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager (docs/people.md)"
        )


def as_text(changes: Sequence[Change]) -> list[str]:
    """The changes, one line each."""
    verbs: Mapping[str, str] = {"granted": "+", "revoked": "-"}
    lines = []
    for change in changes:
        if change.made:
            lines.append(f"{change.role}: new")
        for what, sign in verbs.items():
            lines += [
                f"{change.role}: {sign} {action} {resource}"
                for action, resource in getattr(change, what)
            ]
    return lines


_NOT_THERE = (
    "Airflow's database did not answer as expected ({}); run `airflow db migrate` with the auth"
    " manager set, and check AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
)
