"""A vendor that may be used, to be changed."""

from __future__ import annotations

from datetime import date
from typing import Any

from reengage.vendors import CLAUSES, Baa, Vendor

SIGNED, EXPIRES = date(2025, 1, 1), date(2025, 12, 31)
DAY = date(2025, 6, 2)


def baa(**changes: Any) -> Baa:
    usual = {
        "id": "BAA-7",
        "signed": SIGNED,
        "expires": EXPIRES,
        "document": {"sha256": "0" * 64, "kept_at": "cabinet 3"},
        "clauses": CLAUSES,
        "subcontractors": (),
    }
    return Baa.model_validate(usual | changes)


def vendor(**changes: Any) -> Vendor:
    usual = {
        "name": "acme",
        "hosts": tuple(
            {"host": host, "port": 587}
            for host in ("smtp.acme.example.org", "192.0.2.7", "2001:db8::7")
        ),
        "baa": baa(),
        "contact": "someone@acme.example.org",
        "status": ({"state": "in_force", "since": SIGNED},),
        "tracking": {"opens": False, "clicks": False},
    }
    return Vendor.model_validate(usual | changes)
