"""Alembic's entry: run the versions over the connection that `wattline.storage.schema` hands in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
with context.begin_transaction():
    context.run_migrations()
