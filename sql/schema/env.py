"""Alembic's entry: migrates the store over the connection that `store.migrate` hands in."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
