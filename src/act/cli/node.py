"""`actctl serve` and `actctl migrate`: commands that own the database file."""

from __future__ import annotations

from typing import Any, Final

import click

from act.cli.inputs import Whole

DATABASE: Final = click.option(
    "--database", metavar="FILE", help="The SQLite file, also as sqlite:///file.  [default: act.db; ACT_DATABASE]"
)


def needs_server() -> None:
    """End the command with what to install when only the SDK and the command line are there."""
    try:
        import fastapi  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            "This command needs the server; run: pip install 'agent-capability-tokens[server]'"
        ) from error


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1; ACT_HOST]")
@click.option("--port", type=Whole(0, 65535), help="Port; 0 takes a free one.  [default: 8377; ACT_PORT]")
@DATABASE
@click.option("--log-format", type=click.Choice(["text", "json"]), help="[default: text; ACT_LOG_FORMAT]")
@click.option("--access-log/--no-access-log", default=None, help="Log every answer.  [default: no; ACT_ACCESS_LOG]")
def serve(**given: Any) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    needs_server()
    from act.database.engine import DatabaseUnusable
    from act.server.serve import serve as run_server
    from act.server.settings import Settings, SettingsInvalid

    try:
        run_server(Settings.from_environment(**given))
    except (DatabaseUnusable, SettingsInvalid, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.command()
@DATABASE
def migrate(database: str | None) -> None:
    """Bring the database to the schema of this version."""
    needs_server()
    from act.database.engine import DatabaseUnusable, FileLock, sqlite_path, writing_engine
    from act.database.migrate import migrate as run_migrations
    from act.server.settings import Settings, SettingsInvalid

    try:
        path = sqlite_path(Settings.from_environment(database=database).database)
        lock = FileLock(path).acquire()
        try:
            before, after = run_migrations(writing_engine(path))
        finally:
            lock.release()
    except (DatabaseUnusable, SettingsInvalid) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"Schema {before or 'none'} -> {after}." if before != after else f"Schema {after}: up to date.", err=True
    )
