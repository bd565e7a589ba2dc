"""`wattline schema`: databases, tables, collections, and users with the least rights."""

from __future__ import annotations

import typer

from wattline.errors import BadInputError
from wattline.settings import settings
from wattline.solar import event_types
from wattline.solar.contracts import ALL_TABLES
from wattline.storage import schema

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """Create and upgrade the tables and collections; run it after every update of Wattline, as often as you like."""


@app.command()
def upgrade() -> None:
    """Create what is missing, bring tables and validators to the newest version, give the users their rights.

    The owners' URLs (`WATTLINE_MYSQL_OWNER_URL`, `WATTLINE_MONGO_OWNER_URL`) say where; the users are those of
    `WATTLINE_MYSQL_URL`, `WATTLINE_MYSQL_GATEWAY_URL`, `WATTLINE_MYSQL_SOURCE_URL` and `WATTLINE_MONGO_URL`, as far as
    they are set.
    """
    now = settings()
    mysql, mongo = _owners()
    typer.echo(f"MySQL    version {schema.upgrade_mysql(mysql)}")
    users = {"pipelines": now.mysql_url, "gateway": now.mysql_gateway_url, "source": now.mysql_source_url}
    for role, url in users.items():
        if url.get_secret_value():
            schema.grant_mysql(mysql, url.get_secret_value(), role)
            typer.echo(f"MySQL    rights of the {role} user")
    typer.echo(f"MongoDB  {len(schema.upgrade_mongo(mongo, ALL_TABLES))} collections")
    with schema.mongo_database(mongo) as database:
        event_types.seed(database)
        typer.echo("MongoDB  types of events")
    if now.mongo_url.get_secret_value():
        schema.grant_mongo(mongo, now.mongo_url.get_secret_value())
        typer.echo("MongoDB  rights of the pipelines user")


@app.command()
def status() -> None:
    """Show which versions the databases have; exits with 1 where `wattline schema upgrade` has something to do."""
    mysql, mongo = _owners()
    version, newest = schema.mysql_version(mysql)
    stale = schema.stale_collections(mongo, ALL_TABLES)
    typer.echo(f"MySQL    version {version or 'none'}, the newest is {newest}")
    typer.echo(f"MongoDB  {'to be upgraded: ' + ', '.join(stale) if stale else 'every collection is up to date'}")
    if stale or version != newest:
        raise typer.Exit(1)


def _owners() -> tuple[str, str]:
    """The owners' URLs of MySQL and MongoDB."""
    urls = settings().mysql_owner_url.get_secret_value(), settings().mongo_owner_url.get_secret_value()
    for name, url in zip(("WATTLINE_MYSQL_OWNER_URL", "WATTLINE_MONGO_OWNER_URL"), urls, strict=True):
        if not url:
            raise BadInputError("it is not set", field=name, remedy="Set it, or name a file in WATTLINE_ENV_FILE")
    return urls
