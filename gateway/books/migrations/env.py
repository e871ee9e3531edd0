"""Alembic's entry: runs the missing migrations on the connection it is handed, inside the caller's transaction."""

from alembic import context

from gateway.books.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
