"""Runs the migrations on the connection that the hook hands over, inside the transaction it has begun."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="ghost_schema_version")
context.run_migrations()
