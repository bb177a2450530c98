"""A store that is brought back to a backup, as pg_restore does it: a superuser, past all triggers.

backup = backed_up(connection)
restored(connection, backup)        # without a backup: to a store that was made anew
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text


def restored(connection: Connection, backup: dict[str, Any] | None = None) -> None:
    """Bring the store back to a backup, or to nothing, as a superuser with pg_restore does."""
    connection.rollback()
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    connection.execute(text("TRUNCATE revocation, opt_out"))
    mark = (backup or {}).get("mark") or {"applied": 0, "tail": ""}
    connection.execute(text("UPDATE refusal_mark SET applied = :applied, tail = :tail"), mark)
    for table in ("revocation", "opt_out"):
        for row in (backup or {}).get(table, []):
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    connection.commit()


def backed_up(connection: Connection) -> dict[str, Any]:
    connection.commit()
    rows = {
        table: [dict(row) for row in connection.execute(text(f"TABLE {table}")).mappings()]
        for table in ("revocation", "opt_out")
    }
    mark = connection.execute(text("SELECT applied, tail FROM refusal_mark")).mappings().one()
    return {**rows, "mark": dict(mark)}
