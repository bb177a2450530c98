"""Nothing of a patient leaves the vault: canary patients through whole runs in a real Airflow.

Afterwards a dump of Airflow's database, the store, every log, the lineage events and the summary
hold none of their names, birth dates, addresses, diagnoses, medicines, e-mails or keys; each letter
holds only what its campaign may say (SEC-14, PRV-20, OLN-08, OLN-12, OLN-15, TRK-05).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest
from reengage import report, store
from reengage.campaigns import load_campaign
from reengage.embedded import main_job

from whole_run.conftest import House

CAMPAIGNS = ("appointment_reminder", "health_education", "medication_reminder")


@pytest.fixture(scope="module")
def played(house: House) -> House:
    """The three campaigns as `make run` plays them, and two runs that fail, with retries."""
    campaigns = [load_campaign(house.site.layout.home, slug) for slug in CAMPAIGNS]
    assert main_job.run_each(house.site, house.job, house.console, campaigns) == []
    house.run("unforeseen")
    house.run("red")
    engine = store.connect(house.site.postgres.url("store"))
    report.render(report.read_funnels(engine, house.site.layout.home, house.job.day), house.console)
    return house


def test_the_campaigns_did_write(played: House) -> None:
    for campaign in CAMPAIGNS:
        assert played.letters(campaign)["sent"] > 0


@pytest.mark.parametrize("database", ["airflow", "store"])
def test_no_canary_is_in_a_dump_of_the_database(database: str, played: House) -> None:
    dump = b"\n".join(_dump(played, database))
    assert len(dump) > 10_000
    assert _found(played, dump) == []


def test_the_dump_would_show_them(played: House) -> None:
    assert len(_found(played, b"\n".join(_dump(played, "warehouse")))) > 50


def test_no_canary_is_in_a_file_of_the_stores_or_airflows_database(played: House) -> None:
    played.rows("CHECKPOINT")
    for database in ("airflow", "store"):
        [(oid,)] = played.rows("SELECT oid FROM pg_database WHERE datname = :name", name=database)
        files = list((played.site.layout.postgres / "base" / str(oid)).iterdir())
        assert len(files) > 100
        assert {file.name: hits for file in files if (hits := _found(played, _read(file)))} == {}


def _read(file: Path) -> bytes:
    """What is in a file of a server at work, which may remove one at any moment."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.mark.parametrize("what", ["airflow", "logs", "lineage"])
def test_no_canary_is_in_a_log_or_a_lineage_event(what: str, played: House) -> None:
    layout = played.site.layout
    places = {"airflow": layout.airflow, "logs": layout.logs, "lineage": layout.lineage.parent}
    files = [path for path in places[what].rglob("*") if path.is_file()]
    if what == "logs":
        files.append(layout.postgres / "log")
    assert sum(file.stat().st_size for file in files) > 1000
    assert {str(file): hits for file in files if (hits := _found(played, file.read_bytes()))} == {}


def test_the_lineage_has_an_event_of_every_task(played: House) -> None:
    events = [json.loads(line) for line in played.site.layout.lineage.read_text().splitlines()]
    jobs = {event["job"]["name"] for event in events}
    for campaign in CAMPAIGNS:
        for task in ("preflight", "extract", "gate", "plan", "letter", "send", "settle", "shred"):
            assert f"reengage_{campaign}.{task}" in jobs


def test_no_canary_is_in_the_summary(played: House) -> None:
    summary = played.output.getvalue()
    assert "Funnel" in summary
    assert _found(played, summary.encode()) == []


@pytest.mark.parametrize(
    ("campaign", "allowed"),
    [
        ("appointment_reminder", ()),
        ("health_education", ("qanary",)),
        ("medication_reminder", ("qanary",)),  # of the medicine's name
    ],
)
def test_a_letter_holds_only_what_its_campaign_may_say(
    campaign: str, allowed: tuple[str, ...], played: House
) -> None:
    delivered = played.delivered(campaign)
    assert delivered
    for content in delivered:
        message = played.read(content)
        assert not message.defects
        kinds = [part.get_content_type() for part in message.walk()]
        assert kinds == ["multipart/alternative", "text/plain", "text/html"]
        parts = [part.get_content() for part in message.walk() if not part.is_multipart()]
        said = "\n".join(parts).lower().encode()
        assert set(_found(played, said)) <= set(allowed)
        assert b"qanarymed" not in said or campaign == "medication_reminder"
        for shown in (message, message_from_bytes(content, policy=SMTP)):
            others = [
                f"{name}: {value}" for name, value in shown.items() if not _addresses(name, value)
            ]
            assert _found(played, "\n".join(others).encode()) == []


def test_letters_by_smime_hold_nothing_of_a_patient_but_the_address(played: House) -> None:
    """EML-21, EML-22: neither headers nor body, as they lie in the Maildir."""
    sealed = [
        content
        for campaign in CAMPAIGNS
        for content in played.delivered(campaign)
        if b"application/pkcs7-mime" in content
    ]
    assert sealed
    for content in sealed:
        address = str(message_from_bytes(content, policy=SMTP)["To"]).encode()
        assert _found(played, content.replace(address, b"")) == []


def _addresses(name: str, value: str) -> bool:
    """Whether a header is what a letter is addressed by, itself or as HP-Outer repeats it."""
    return name in ("To", "Delivered-To") or (name == "HP-Outer" and value.startswith("To:"))


def _found(played: House, content: bytes) -> list[str]:
    lowered = content.lower()
    return [canary for canary in played.canaries if canary.encode() in lowered]


def _dump(played: House, database: str) -> Iterator[bytes]:
    """Every row of every table as text, and what is compressed or binary in it, opened."""
    tables = played.rows(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')",
        database,
    )
    for (table,) in tables:
        for row in played.rows(f"SELECT * FROM {table}", database):
            for value in row:
                yield from _texts(value)


def _texts(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes | memoryview):
        yield bytes(value)
        try:
            yield zlib.decompress(bytes(value))
        except zlib.error:
            return
    elif value is not None:
        yield json.dumps(value, default=str, ensure_ascii=False).encode()
