"""The portal's own role: its tables, and nothing of letters, decisions, runs or the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from patients import ROLE, Portal
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

READS = {
    "portal_message", "portal_guess", "portal_pace", "portal_session", "portal_address",
    "opt_out_link", "opt_out", "revocation", "restriction", "preference", "keyring",
    "ledger_head", "refusal_mark", "ledger_owed",
}  # fmt: skip

FORBIDDEN = "42501"
"""insufficient_privilege"""


@pytest.fixture(scope="module")
def engine(portal: Portal) -> Iterator[Engine]:
    url = make_url(portal.practice.settings.store_url).set(username=ROLE)
    made = create_engine(url)
    yield made
    made.dispose()


def may(engine: Engine, statement: str) -> bool:
    """Whether the role may; a statement that fails for any other reason proves nothing."""
    with engine.connect() as connection:
        try:
            connection.execute(text(statement))
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != FORBIDDEN:
                raise
            return False
        finally:
            connection.rollback()
    return True


def test_it_reads_its_tables_and_no_other(portal: Portal, engine: Engine) -> None:
    """SEC-11: the portal's role is its own."""
    tables = portal.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    names = {str(row["table_name"]) for row in tables}
    assert {name for name in names if may(engine, f'SELECT 1 FROM "{name}"')} == READS


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM portal_message", "UPDATE portal_message SET verifier = ''",
        "UPDATE portal_message SET expires_at = now()", "DELETE FROM opt_out",
        "UPDATE preference SET value = 'x'", "INSERT INTO suppression (recipient) VALUES ('x')",
        "DELETE FROM ledger_entry", "SELECT * FROM letter", "SELECT * FROM decision",
        "INSERT INTO opt_out_link VALUES ('x', 'x', 'x', now())", "TRUNCATE portal_guess",
        "INSERT INTO keyring VALUES (false, 'x')", "CREATE TABLE mine (x int)",
        "SELECT * FROM portal_mail", "SELECT * FROM portal_incident",
        "UPDATE portal_message SET sealed = ''", "DELETE FROM portal_address",
        "UPDATE ledger_owed SET actor = 'x'", "SELECT * FROM suppression",
    ],
)  # fmt: skip
def test_it_may_not(engine: Engine, statement: str) -> None:
    assert not may(engine, statement)


def test_a_statement_that_is_merely_wrong_does_not_pass_for_a_forbidden_one(
    engine: Engine,
) -> None:
    for wrong in ("SELECT no_such_column FROM portal_guess", "SELEC 1", "SELECT * FROM no_table"):
        with pytest.raises(ProgrammingError):
            may(engine, wrong)
    assert may(engine, "UPDATE portal_guess SET wrong = 0")


def test_a_portal_with_another_keyring_does_not_start(portal: Portal, tmp_path) -> None:
    from reengage.errors import KeyringError
    from reengage.keys import ensure_keyring
    from reengage.portal.desk import open_desk
    from reengage.settings import PortalSettings

    ensure_keyring(tmp_path / "keys")
    settings = PortalSettings(portal.practice.settings.home, portal.practice.settings.store_url,
                              tmp_path / "keys", tmp_path / "journal")  # fmt: skip
    with pytest.raises(KeyringError, match="another keyring"):
        open_desk(settings)
