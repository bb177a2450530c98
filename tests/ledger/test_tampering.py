"""The tampering table: what a superuser of the database can do to the ledger, and who notices.

LOG-01 to LOG-08, SEC-16. Each attack runs in a transaction that is rolled back, on copies of the
checkpoint files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from attacks import ATTACKS, Attack, Hand
from databases import create_database
from made import Ledger, said_again, two_days
from reengage.embedded.postgres import Postgres
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.verify import verify
from sqlalchemy import text

UNDONE = (
    "SET LOCAL session_replication_role = replica",
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check",
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_index_check",
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_pkey",
    "ALTER TABLE ledger_entry ALTER index DROP NOT NULL",
    "ALTER TABLE ledger_entry ALTER leaf DROP NOT NULL",
    "ALTER TABLE ledger_entry ALTER entry DROP NOT NULL",
)
"""Everything that the database itself would object with."""


@pytest.fixture(scope="module")
def attacked(
    server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ledger, dict, str]]:
    """A ledger of two days, the head that it had after the first, and its database back then."""
    made = Ledger.create(
        create_database(server, "store"), tmp_path_factory.mktemp("attacked") / "keys"
    )
    kept: dict = {}

    def remember() -> None:
        with made.engine.connect() as connection:
            head = text("SELECT size, peaks, recorded_at, mac FROM ledger_head")
            kept.update(connection.execute(head).mappings().one())
        made.engine.dispose()
        kept["yesterday"] = create_database(server, str(made.engine.url.database))

    two_days(made, after_first=remember)
    yield made, kept, kept.pop("yesterday")
    made.engine.dispose()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_detected_and_its_place_named(
    attack: Attack, attacked: tuple[Ledger, dict, str], tmp_path: Path
) -> None:
    ledger, head, _ = attacked
    files = copytree(ledger.keyring.directory / "checkpoints", tmp_path / "checkpoints")
    with ledger.engine.connect() as connection, connection.begin() as transaction:
        for statement in UNDONE:
            connection.execute(text(statement))
        hand = Hand(connection, files, ledger.keys, head)
        attack.do(hand)
        found = verify(
            connection,
            keys=ledger.keys,
            checkpoints=Checkpoints(str(files)),
            keyring=ledger.keyring,
        )
        again = said_again(connection, Checkpoints(str(files)), ledger.keys)
        transaction.rollback()
    said = [str(finding) for finding in found.findings]
    assert [one for one in said if re.search(attack.said, one)], said
    assert bool(again) is not attack.head_only, again


def test_a_database_taken_back_to_yesterday_is_older_than_its_checkpoint(
    attacked: tuple[Ledger, dict, str],
) -> None:
    ledger, _, yesterday = attacked
    old = Ledger.create(yesterday, ledger.keyring.directory)
    said = [str(finding) for finding in old.verify().findings]
    with old.engine.connect() as connection:
        again = said_again(connection, old.checkpoints, old.keys)
    old.engine.dispose()
    assert len(said) == 1
    assert said[0].startswith("checkpoint 313 was signed over more entries than the 11 that")
    assert again


def test_the_table_is_long_enough_and_nothing_is_wrong_without_an_attack(
    attacked: tuple[Ledger, dict, str],
) -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 30
    assert attacked[0].verify().sound
