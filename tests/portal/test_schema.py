"""Schemathesis over the service's own OpenAPI document: whatever is sent, the answer is a declared
one, and never a fault. A few examples in `make test`; REENGAGE_LONG=1 tries many.

Not its own pytest integration: that reads `_nodeid`, which pytest 9.2 no longer has.
"""

from __future__ import annotations

import os
import warnings
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


def operations() -> list[Any]:
    document = create_app(cast(Any, None), cast(Any, None)).openapi()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(document)
        return [found.ok() for found in schema.get_all_operations()]


OPERATIONS = operations()


def test_the_document_has_every_way_in() -> None:
    assert {one.label for one in OPERATIONS} == {
        "POST /api/letters/{message_id}/sessions", "GET /api/letters/{message_id}/ciphertext",
        "POST /api/letters/{message_id}/report", "GET /api/letters/{message_id}/preferences",
        "POST /api/letters/{message_id}/preferences", "POST /api/letters/{message_id}/address",
        "GET /opt-out/{token}", "POST /opt-out/{token}", "GET /confirm/{token}",
        "POST /confirm/{token}", "GET /health",
    }  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_every_answer_is_one_that_the_document_declares(operation: Any, portal: Portal) -> None:
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
