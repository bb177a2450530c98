"""A warehouse to order: the contract's views as tables, filled with patients one by one.

world.patient("p1")                                # may be written to by every campaign
world.patient("p2", contact={"verified_at": None}) # the same, but for one column
world.set("opt_out", patient_key="p1", campaign=None, at=NOW)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from reengage.contract import load_contract
from reengage.settings import HOME
from sqlalchemy import Engine, create_engine, text

DAY = date(2025, 6, 2)
"""The day that tests play: a Monday."""
NOW = datetime(2025, 6, 2, 17, 0, tzinfo=UTC)
"""Noon of that day in Chicago."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class World:
    """One warehouse."""

    url: str
    engine: Engine

    @classmethod
    @contextmanager
    def create(cls, url: str) -> Iterator[World]:
        """In an empty database."""
        with cls.opened(url) as world:
            with world.engine.begin() as connection:
                connection.execute(text("CREATE SCHEMA contract"))
                for view in load_contract(HOME).views:
                    columns = ", ".join(f'"{c.name}" {c.type}' for c in view.columns)
                    connection.execute(text(f'CREATE TABLE contract."{view.name}" ({columns})'))
            world.set("load", source="test", loaded_at=NOW, data_until=NOW)
            yield world

    @classmethod
    @contextmanager
    def opened(cls, url: str) -> Iterator[World]:
        """In a copy of one."""
        engine = create_engine(url)
        yield cls(url, engine)
        engine.dispose()

    def set(self, view: str, **row: Any) -> None:
        """Add a row to a view."""
        columns = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f":{name}" for name in row)
        self.execute(f'INSERT INTO contract."{view}" ({columns}) VALUES ({values})', **row)

    def change(self, view: str, patient_key: str, **row: Any) -> None:
        """Change a patient's rows in a view."""
        changes = ", ".join(f'"{name}" = :{name}' for name in row)
        self.execute(
            f'UPDATE contract."{view}" SET {changes} WHERE patient_key = :patient_key',
            patient_key=patient_key,
            **row,
        )

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def patient(self, key: str, **changes: Row | None) -> None:
        """An adult who stopped coming, consented, and has a booking and a prescription.

        A keyword names a view: a mapping changes columns of its row, None leaves the row out.
        """
        for view, row in _usual(key).items():
            if view in changes and changes[view] is None:
                continue
            self.set(view, **{**row, **(changes.get(view) or {})})


def _usual(key: str) -> dict[str, dict[str, Any]]:
    long_ago = NOW - timedelta(days=1000)
    return {
        "patient": {
            "patient_key": key,
            "given_name": f"Given{key}",
            "birth_date": date(1970, 1, 1),
            "death_date": None,
            "language": "en",
            "state": "NE",
            "zip": "68102",
            "time_zone": "America/Chicago",
            "sensitive_programme": False,
        },
        "contact": {
            "patient_key": key,
            "email": f"{key}@example.org",
            "verified_at": long_ago,
            "confidential_channel": None,
            "smime_certificate": None,
        },
        "visit": {
            "visit_key": f"visit-{key}",
            "patient_key": key,
            "start_at": NOW - timedelta(days=400),
            "end_at": NOW - timedelta(days=400),
            "status": "finished",
            "service_line": "ambulatory",
        },
        "appointment": {
            "appointment_key": f"appointment-{key}",
            "patient_key": key,
            "booked_at": NOW - timedelta(days=10),
            "start_at": NOW + timedelta(days=7),
            "location": f"Clinic {key}, 1 Main Street",
            "service_line": "ambulatory",
            "status": "booked",
        },
        "medication": {
            "medication_key": f"medication-{key}",
            "patient_key": key,
            "name": f"Lisinopril {key}",
            "dosage_text": "10 MG Oral Tablet",
            "start_at": NOW - timedelta(days=500),
            "end_at": None,
            "lapsed_on": None,
            "service_line": None,
            "sensitive_class": None,
        },
        "authorization": _authorization(key),
    }


def _authorization(key: str) -> dict[str, Any]:
    return {
        "authorization_key": f"authorization-{key}",
        "patient_key": key,
        "purpose": "email",
        "form_version": "2024-1",
        "information": "reminders",
        "discloser": "the practice",
        "recipient": "the patient",
        "purpose_text": "care",
        "expires_on": None,
        "expires_event": "end of care",
        "signed_at": NOW - timedelta(days=1000),
        "representative_key": None,
        "notice_revocation": True,
        "notice_conditioning": True,
        "notice_redisclosure": True,
        "compound": False,
        "conditioned": False,
        "remuneration_stated": False,
        "revoked_at": None,
    }
