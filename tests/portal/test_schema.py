"""Schemathesis over the service's own OpenAPI document: whatever is sent, the answer is a declared
one, and never a fault. Few examples in `make test`; REENGAGE_LONG=1 has many.
"""

from __future__ import annotations

import os
from itertools import count

import pytest
from patients import Portal
from reengage.portal.app import create_app
from reengage.portal.desk import open_desk
from reengage.portal.pages import load_pages
from reengage.settings import PortalSettings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
EXAMPLES = 200 if os.environ.get("REENGAGE_LONG") else 12
_PEERS = count(1)


@pytest.fixture
def document(portal: Portal):
    settings = portal.practice.settings
    desk = open_desk(
        PortalSettings(settings.home, settings.store_url, settings.keyring, settings.journal_path)
    )
    app = create_app(desk, load_pages(desk))
    made = schemathesis.openapi.from_dict(app.openapi())
    made.config.update(base_url=f"https://localhost:{portal.port}")
    return made


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@schemathesis.hypothesis_settings if hasattr(schemathesis, "hypothesis_settings") else (lambda f: f)
def test_every_answer_is_one_that_the_document_declares(case, portal: Portal) -> None:
    case.headers = {**(case.headers or {}), "X-Forwarded-For": f"192.0.2.{next(_PEERS) % 250}"}
    case.call_and_validate(verify=str(portal.certificates.ca))
