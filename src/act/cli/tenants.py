"""`actctl tenants`: works on the database itself, while no server has it open."""

from __future__ import annotations

import click

from act.cli.command import OfflineGroup, wants_json
from act.cli.node import needs_server
from act.cli.output import print_json, say


@click.group(cls=OfflineGroup)
def tenants() -> None:
    """Separate worlds in one database.

    A tenant has agents, policies, keys and an audit log of its own.
    """


@tenants.command()
@click.argument("id")
@click.option("--name", help="[default: the id]")
@click.option("--database", help="For example sqlite:///act.db.  [default: sqlite:///act.db; ACT_DATABASE]")
def create(id: str, name: str | None, database: str | None) -> None:
    """Make a tenant and its admin API key.

    The key is printed now and never again. Stop the server first: only one process may have the database open.

    \b
    Example:
      actctl tenants create research --database sqlite:////var/lib/act/act.db > research.key
    """
    needs_server()
    from pydantic import TypeAdapter, ValidationError

    from act.database.engine import DatabaseUnusable
    from act.models import Identifier, Name
    from act.problems import ProblemError
    from act.server.app import Node
    from act.server.settings import Settings, SettingsInvalid

    for kind, value in ((Identifier, id), (Name, name or id)):
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise click.UsageError(f"{value!r}: {error.errors()[0]['msg']}.") from None
    try:
        settings = Settings.from_environment(database=database)
        with Node(settings) as node:
            if node.new_admin_key is not None:
                _say_first_start(node.new_admin_key, chosen=settings.bootstrap_api_key is not None)
            key = node.tenant_service.create_tenant(id, name or id)
    except (DatabaseUnusable, SettingsInvalid, OSError) as error:
        raise click.ClickException(str(error)) from None
    except ProblemError as error:
        raise click.ClickException(f"{error.detail} ({error.code})") from None
    if wants_json():
        print_json({"id": id, "name": name or id, "adminKey": key})
    else:
        click.echo(key)
    say(f"Made the tenant '{id}'. The admin API key on stdout is shown once and kept nowhere.")


def _say_first_start(key: str, *, chosen: bool) -> None:
    if chosen:
        say("First start of this database: the admin key of default-tenant is the one in ACT_BOOTSTRAP_API_KEY.")
    else:
        say(f"First start of this database. The admin API key of default-tenant, shown once: {key}")
