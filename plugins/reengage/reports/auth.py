"""Auth: who asks, by Airflow's own session or token. The one module that knows how Airflow does it.

A FastAPI app of a plugin gets no authentication from Airflow (apache/airflow#72655), so every
request passes here. What is used of Airflow is not its public interface: a release that changes it
fails the tests of this module, and until then nobody is let in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import HTTPException, Request
from fastapi.security import HTTPBearer

from reengage.roles import Capability, capabilities_of


@dataclass(frozen=True)
class Visitor:
    """Somebody with a log-in."""

    name: str
    roles: frozenset[str]
    capabilities: frozenset[Capability] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", capabilities_of(self.roles))

    @property
    def actor(self) -> str:
        """As records name them."""
        return f"airflow:{self.name}"

    @property
    def sees_small_counts(self) -> bool:
        """Whether counts of 1 to 10 are shown to them (PRV-27)."""
        return "exact_counts" in self.capabilities


Authenticate = Callable[[Request], Awaitable[Visitor]]
"""Gives the visitor. Raises HTTPException 401 without a valid session or token."""

_bearer = HTTPBearer(auto_error=False)


async def airflow_visitor(request: Request) -> Visitor:
    """By `Authorization: Bearer`, else by the session's cookie, as Airflow's own routes do it."""
    from airflow.api_fastapi.core_api.security import get_user

    try:
        user = await get_user(request, None, await _bearer(request))
    except HTTPException as error:
        # An invalid token and an expired one are both: log in again.
        raise HTTPException(401) from error
    # Only FAB knows roles by name; with any other auth manager nobody has one of ours.
    roles = getattr(user, "roles", None) or ()
    names = frozenset(str(getattr(role, "name", "")) for role in roles)
    return Visitor(user.get_name(), names)


def log_in_url(next_url: str) -> str:
    """Where Airflow asks for a log-in, and leads back from."""
    from airflow.api_fastapi.app import get_auth_manager

    return str(get_auth_manager().get_url_login(next_url=next_url))
