"""Entries of the ledger for the pages: few are read, however many disclosures lie between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from entries import Books, disclosure, event, ledger
from reengage import store
from reengage.embedded import postgres
from reengage.ledger import records
from reengage.ledger.records import KINDS
from reengage.reports import entries
from reengage.reports.entries import PAGE, Asked
from sqlalchemy import Connection, text

FEW, MANY = 300, 6000
ENDS = 4
"""Rows at the ends of an index that the planner looks at."""


@pytest.fixture(scope="module")
def books(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Some entries of each kind, and then a mailing's disclosures."""
    with ledger(server, tmp_path_factory.mktemp("entries")) as made:
        for number in range(FEW):
            made.add(
                event(number),
                records.access(actor=f"airflow:a{number % 2}", action="opened", of="report"),
            )
        made.sign()
        made.add(*(disclosure(made.keyring, f"p{number}") for number in range(MANY)))
        made.spoil("ANALYZE ledger_entry")
        yield made


def read_rows(connection: Connection) -> int:
    """Rows of the ledger that this transaction has read so far."""
    found = connection.execute(
        text(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'ledger_entry'"
        )
    )
    return int(found.scalar_one())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(kind="access"), PAGE + 1),
        (Asked(kind="run_event"), PAGE + 1),
        (Asked(kind="checkpoint"), 1),
        (Asked(kind="disclosure"), PAGE + 1),
        (Asked(kind="access", subject="airflow:a1"), PAGE + 1),
        (Asked(kind="intent"), 0),
        (Asked(subject="nobody"), 0),
        (Asked(), PAGE + 1),
    ],
    ids=str,
)
def test_a_page_of_a_filter_reads_no_rows_but_its_own(
    asked: Asked, found: int, books: Books
) -> None:
    """Also on a connection that has asked the same for other pages before."""
    kept = store.connect(books.url, connections=1)
    for _ in range(12):
        with kept.connect() as connection:
            before = read_rows(connection)
            assert len(entries.page_of(connection, asked)) == found
            assert read_rows(connection) - before <= found + ENDS
    kept.dispose()


def test_each_kind_is_counted_and_disclosures_are_the_rest(books: Books) -> None:
    with books.engine.connect() as connection:
        before = read_rows(connection)
        counts = dict(entries.by_kind(connection, entries.size(connection)))
        assert read_rows(connection) - before <= 2 * FEW + 1
    direct = dict(books.rows("SELECT kind, count(*) FROM ledger_entry GROUP BY kind"))
    assert counts == {kind: direct.get(kind, 0) for kind in KINDS}
    assert counts["disclosure"] == MANY
