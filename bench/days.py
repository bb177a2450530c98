"""A campaign's hundred days in the store: runs, decisions, letters, follow-ups, reports, ledger.

One letter a patient, one of 50 came back; the outcomes as `publish` tells them. Beside them a
warehouse that knows those patients, for who accounts to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from recorded import Day, clock_of_the_mailing, record_day
from reengage import store
from reengage.campaigns import load_campaign
from reengage.embedded.postgres import Postgres
from reengage.keys import Keyring
from reengage.ledger.checkpoints import Checkpoints
from reengage.outcomes.publish import publish as publish_report
from reengage.pipeline import reported
from reengage.pipeline.run import derive_run_id
from reengage.settings import HOME, Settings, checkpoints_location
from sqlalchemy import Engine, create_engine, text
from warehouse import make_contract

DAYS = 100
LAST = date(2026, 6, 30)
CAMPAIGN = "medication_reminder"
DAG = f"reengage_{CAMPAIGN}"
DAG_RUN = "scheduled__{day}"
PATIENT = "often"
"""Whom every day's run wrote to, by the key in the warehouse."""
_RUN = """
INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256, vendor, baa_id,
    living, inactive, candidates, gate, verdicts, opened_at, extracted_at, finished_at)
VALUES (:run, :campaign, :day, 'live', :dag_run, '', 'embedded', 'b', :many * 3, :many * 2, :many,
    'green', '[]', :at, :at, :at)
"""
_BEGINNINGS = """
INSERT INTO beginning (run_id, campaign, dag_run_id, campaign_date, mode, begun_at, ended, ended_at)
SELECT gen_random_uuid(), slug, n::text, CAST(:last AS date) - n::int, 'live',
    CAST(:last AS date) - n * interval '1 day', 'passed', CAST(:last AS date)
FROM unnest(CAST(:slugs AS text[])) AS slug CROSS JOIN generate_series(1, 400) AS n
"""
"""As many as are kept, of each campaign."""
_DECISIONS = """
INSERT INTO decision (run_id, campaign_date, patient, reasons, arm)
SELECT :run, :day, :number || '-' || n, CASE WHEN n % 5 = 0 THEN '{no_authorization}' ELSE '{}' END
    ::text[], CASE WHEN n % 5 = 0 THEN NULL WHEN n % 10 = 1 THEN 'holdout' ELSE 'write' END
FROM generate_series(1, :many) AS n
"""
_LETTERS = """
INSERT INTO letter (campaign, patient, period, run_id, campaign_date, sender_run_id, chunk, state,
    message_id, sealed, seal, template_sha256, expires_at, settled_at, evidence)
SELECT :campaign, :number || '-' || n, '', :run, :day, :run, n / 500,
    CASE WHEN n % 200 = 0 THEN 'refused' ELSE 'sent' END, :number || '.' || n, '', 'tls', '', :at,
    :at, '{"tls_version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "code": 250}'
FROM generate_series(1, :each) AS n
"""
_RESPONSES = """
INSERT INTO response (item, source, kind, verdict, letter_id, at)
SELECT letter_id::text, 'maildir', 'bounce', 'hard', letter_id, settled_at FROM letter
WHERE abs(hashtext(letter_id::text)) % 50 = 0
"""
_FOLLOW_UPS = """
INSERT INTO follow_up (campaign, patient, period, run_id, part, campaign_date, arm, begins_at,
    counts, language, age_band, service_line, described_on, written_on)
SELECT :campaign, patient, '', run_id, 0, campaign_date, arm,
    campaign_date + time '17:00' AT TIME ZONE 'UTC', true, 'en', '40-64', 'ambulatory',
    campaign_date, CASE WHEN arm = 'write' THEN campaign_date END
FROM decision WHERE arm IS NOT NULL
"""
_RETURNS = """
INSERT INTO outcome (follow_up_id, known_on, returned_at)
SELECT follow_up_id, campaign_date + 20, begins_at + interval '20 days' FROM follow_up
WHERE abs(hashint8(follow_up_id)) % 100 < CASE arm WHEN 'write' THEN 30 ELSE 25 END
"""


_PATIENTS = """
INSERT INTO contract.patient (patient_key, given_name)
SELECT 'k' || n, 'Given' || n % 5000 FROM generate_series(1, :many) AS n
UNION ALL SELECT :often, 'Given'
"""
_CONTACTS = """
INSERT INTO contract.contact (patient_key, email)
SELECT patient_key, patient_key || '@example.org' FROM contract.patient
"""


def fill(server: Postgres, keyring: Keyring, letters: int) -> None:
    """Make the store and the warehouse, with so many letters. Nothing is written afterwards."""
    engine = store.connect(server.url("store"))
    store.migrate(engine, HOME)
    runs = [_run(engine, number, letters // DAYS) for number in range(DAYS)]
    with engine.begin() as connection:
        for statement in (_RESPONSES, _FOLLOW_UPS, _RETURNS):
            connection.execute(text(statement), {"campaign": CAMPAIGN})
        slugs = [path.stem for path in (HOME / "campaigns").glob("*.yaml")]
        connection.execute(text(_BEGINNINGS), {"slugs": slugs, "last": LAST - timedelta(days=1)})
    _record(engine, keyring, runs)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    for one in runs:
        with engine.begin() as connection:
            store.require_keyring(connection, keyring)
            reported.keep(connection, HOME, one["run"])
    _report(engine, Settings(HOME, "", server.url("store"), keyring.directory, {}))
    engine.dispose()
    _warehouse(server.url("warehouse"), letters)


def _run(engine: Engine, number: int, each: int) -> dict[str, Any]:
    day = LAST - timedelta(days=DAYS - 1 - number)
    dag_run = DAG_RUN.format(day=day)
    values = {
        "run": derive_run_id(DAG, dag_run), "campaign": CAMPAIGN, "day": day, "dag_run": dag_run,
        "each": each, "many": each * 5 // 4, "number": number,
        "at": datetime.fromisoformat(f"{day}T17:00Z"),
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": day})
        for statement in (_RUN, _DECISIONS, _LETTERS):
            connection.execute(text(statement), values)
    return values


def _record(engine: Engine, keyring: Keyring, runs: Sequence[Mapping[str, Any]]) -> None:
    """The ledger of these runs."""
    checkpoints = Checkpoints(checkpoints_location(keyring.directory))
    often = keyring.pseudonym("patient", PATIENT)
    with engine.begin() as connection:
        store.require_keyring(connection, keyring)
    with clock_of_the_mailing(engine) as connection:
        for one in runs:
            day = Day(CAMPAIGN, one["run"], one["day"], one["at"], often)
            record_day(connection, keyring, checkpoints, day)


def _report(engine: Engine, settings: Settings) -> None:
    """The outcomes as of two days."""
    campaign = load_campaign(HOME, CAMPAIGN)
    for day in (LAST - timedelta(days=30), LAST):
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO outcome_day VALUES (:campaign, :day, :until, 0, 0)"),
                {"campaign": CAMPAIGN, "day": day,
                 "until": datetime.fromisoformat(f"{day + timedelta(days=1)}T05:00Z")},
            )  # fmt: skip
        publish_report(settings, campaign, day)


def _warehouse(url: str, patients: int) -> None:
    """The contract's tables, with those of a patient whom a letter was sent to."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        make_contract(connection)
        for statement in (_PATIENTS, _CONTACTS):
            connection.execute(text(statement), {"many": patients, "often": PATIENT})
        for name in ("patient", "contact", "representative"):
            connection.execute(text(f"CREATE INDEX ON contract.{name} (patient_key)"))
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
