"""The role that tasks use the store as: it adds to the ledger and can change nothing of it.

SEC-11: neither the owner's nor anybody else's.
"""

from __future__ import annotations

from datetime import date

import pytest
from reengage import store
from reengage.embedded import postgres
from reengage.embedded.main_job import TASKS
from reengage.ledger.append import append
from reengage.ledger.records import access
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from audit.conftest import Accounts


@pytest.fixture
def tasks(server: postgres.Postgres, engine: Engine) -> Engine:
    """The module's store as that role, which a second start finds there already."""
    for _ in range(2):
        postgres.ensure_member(server, TASKS, "reengage_tasks")
    return store.connect(server.url(str(engine.url.database), TASKS))


def test_it_adds_and_makes_a_months_partition(accounts: Accounts, tasks: Engine) -> None:
    record = access(actor="olga", action="opened", of="report")
    with tasks.begin() as connection:
        begin = connection.execute(text("SELECT count(*) FROM ledger_entry")).scalar_one()
        append(connection, accounts.keyring, [record, record])
        connection.execute(text("SELECT ensure_decision_month(:day)"), {"day": date(2031, 5, 4)})
    with tasks.connect() as connection:
        counted = connection.execute(text("SELECT count(*) FROM ledger_entry")).scalar_one()
        made = connection.execute(text("SELECT to_regclass('decision_2031_05')")).scalar_one()
    assert counted == begin + 2
    assert made is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET kind = kind",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "DROP TABLE ledger_entry",
        "ALTER TABLE ledger_entry DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DELETE FROM ledger_head",
        "INSERT INTO ledger_head (origin, size, peaks, mac) VALUES ('', 0, '', '')",
        "CREATE TABLE public.mine (a int)",
        "DELETE FROM revocation",
        "UPDATE opt_out SET campaign = campaign",
        "SET ROLE postgres",
    ],
)
def test_it_changes_nothing_that_is_there(statement: str, tasks: Engine) -> None:
    with pytest.raises(ProgrammingError, match="InsufficientPrivilege"), tasks.begin() as one:
        one.execute(text(statement))
