"""Alembic's entry: runs the migrations on the engine that `act.database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from act.database.tables import metadata

with context.config.attributes["engine"].begin() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    context.run_migrations()
