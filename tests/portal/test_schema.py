"""Schemathesis over the service's own OpenAPI document: whatever is sent, the answer is a declared
one, and never a fault. A few examples in `make test`; REENGAGE_LONG=1 tries many.

Not its own pytest integration: that reads `_nodeid`, which pytest 9.2 no longer has.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from patients import Portal
from reengage.portal.app import create_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

EXAMPLES = 300 if os.environ.get("REENGAGE_LONG") else 10
_PEERS = count(1)


LABELS = (
    "POST /api/letters/{message_id}/sessions", "GET /api/letters/{message_id}/ciphertext",
    "POST /api/letters/{message_id}/report", "GET /api/letters/{message_id}/preferences",
    "POST /api/letters/{message_id}/preferences", "POST /api/letters/{message_id}/address",
    "GET /opt-out/{token}", "POST /opt-out/{token}", "GET /confirm/{token}",
    "POST /confirm/{token}", "GET /health",
)  # fmt: skip


@cache
def operations() -> dict[str, Any]:
    """By label. Made when first asked for: every process of the tests reads this file."""
    document = create_app(cast(Any, None), cast(Any, None)).openapi()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(document)
        found = [one.ok() for one in schema.get_all_operations()]
    return {one.label: one for one in found}


def test_the_document_has_every_way_in() -> None:
    assert set(operations()) == set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_one_that_the_document_declares(label: str, portal: Portal) -> None:
    operation = operations()[label]
    said: set[int] = set()
    session = {"authorization": "Bearer none"}
    one = portal.next()
    if "/api/" in operation.label and "session" not in operation.label:
        session = portal.session(one)  # so that bodies are looked at, too

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def every(case: Any) -> None:
        number = next(_PEERS)
        case.headers = {
            **(case.headers or {}), **session,
            "X-Forwarded-For": f"100.64.{number // 250 % 250}.{number % 250}",
        }  # fmt: skip
        if session["authorization"] != "Bearer none" and number % 2:
            case.path_parameters = {"message_id": one.message_id}
        answered = case.call_and_validate(
            base_url=f"https://localhost:{portal.port}",
            verify=str(portal.certificates.ca),
            # What is no ZIP code, or nothing to stop, is well formed and told so all the same.
            excluded_checks=[positive_data_acceptance],
        )
        said.add(answered.status_code)

    every()
    assert said
    assert max(said) < 500
