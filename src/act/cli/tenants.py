"""`actctl tenants`: the caller's own tenant; and `create`, which works on the database itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from act.cli.command import Group, OfflineCommand, confirm, wants_json, yes_option
from act.cli.connection import connected
from act.cli.durations import Duration
from act.cli.node import DATABASE, needs_server
from act.cli.output import Column, print_json, print_one, say

if TYPE_CHECKING:
    from act.models import Tenant, TenantFrozen

_COLUMNS: list[Column[Tenant]] = [
    ("id", lambda tenant: tenant.id),
    ("name", lambda tenant: tenant.name),
    ("longest token", lambda tenant: _seconds(tenant.max_token_ttl)),
    ("default token", lambda tenant: _seconds(tenant.default_token_ttl)),
    ("default labels", lambda tenant: tenant.default_labels),
    ("arguments in the log", lambda tenant: tenant.audit_arguments),
    ("audit retention", lambda tenant: _retention(tenant.audit_retention)),
    ("redacted besides", lambda tenant: tenant.redact_patterns),
    ("frozen", lambda tenant: tenant.frozen),
    ("since", lambda tenant: tenant.frozen_at),
    ("reason", lambda tenant: tenant.frozen_reason),
    ("created", lambda tenant: tenant.created_at),
]
_SWITCHED: list[Column[TenantFrozen]] = [
    ("id", lambda tenant: tenant.tenant_id),
    ("frozen", lambda tenant: tenant.frozen),
    ("since", lambda tenant: tenant.frozen_at),
    ("reason", lambda tenant: tenant.reason),
    ("revision", lambda tenant: tenant.revision),
]


def _retention(seconds: int | None) -> str:
    return "forever" if seconds is None else _seconds(seconds)


def _seconds(seconds: int) -> str:
    return f"{seconds} s"


@click.group(cls=Group)
def tenants() -> None:
    """Separate worlds in one database.

    A tenant has agents, policies, keys and an audit log of its own. An API key is of one tenant and sees no other;
    all commands but create need one with the scope admin.
    """


@tenants.command(cls=OfflineCommand)
@click.argument("id")
@click.option("--name", help="[default: the id]")
@DATABASE
def create(id: str, name: str | None, database: str | None) -> None:
    """Make a tenant and its admin API key.

    The key is printed now and never again. Stop the server first: only one process may have the database open.

    \b
    Example:
      actctl tenants create research --database /var/lib/act/act.db > research.key
    """
    needs_server()
    from pydantic import TypeAdapter, ValidationError

    from act.database.engine import DatabaseUnusable, sqlite_path
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
        path = sqlite_path(settings.database)
        if not path.exists():
            # A mistyped path would become a second database, and the server would never see the tenant.
            raise DatabaseUnusable(
                f"There is no database at {path}. Name the one that the server serves with --database or "
                "ACT_DATABASE; `actctl migrate` makes a new one."
            )
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


@tenants.command()
@click.argument("id")
def show(id: str) -> None:
    """The tenant and its settings."""
    with connected() as act:
        print_one(act.tenants.get(id), _COLUMNS)


@tenants.command("set")
@click.argument("id")
@click.option("--max-token-ttl", type=Duration(), help="The longest life of a token, such as 15m.")
@click.option("--default-token-ttl", type=Duration(), help="The life of a token that names none.")
@click.option(
    "--default-label", "labels", metavar="NAME", multiple=True, help="What was read if nobody says; may be repeated."
)
@click.option("--no-default-labels", is_flag=True, help="If nobody says, nothing was read.")
@click.option(
    "--audit-arguments",
    type=click.Choice(["none", "redacted", "full"]),
    help="What the audit log keeps of the arguments of calls.",
)
@click.option(
    "--redact",
    "patterns",
    metavar="PATTERN",
    multiple=True,
    help="Names of members (* matches anything), or a JSON pointer, to redact in the log; may be repeated.",
)
@click.option("--no-redact", is_flag=True, help="Redact nothing besides what always is.")
@click.option(
    "--audit-retention",
    type=Duration("forever"),
    metavar="AGE",
    help="When audit records go into archives: 90d, P90D, or forever.",
)
def set_fields(
    id: str,
    max_token_ttl: int | None,
    default_token_ttl: int | None,
    labels: tuple[str, ...],
    no_default_labels: bool,
    audit_arguments: Literal["none", "redacted", "full"] | None,
    patterns: tuple[str, ...],
    no_redact: bool,
    audit_retention: int | Literal["forever"] | None,
) -> None:
    """Change settings of the tenant. What is not named stays.

    A lower maximum also refuses tokens that are out and live longer, from the next request on. The default labels are
    replaced by those that are named, for outcomes that are reported from then on; so are the patterns of --redact, for
    arguments of calls that are decided from then on.

    \b
    Examples:
      actctl tenants set default-tenant --max-token-ttl 15m --default-token-ttl 15m
      actctl tenants set default-tenant --default-label untrusted
      actctl tenants set default-tenant --audit-retention 365d
      actctl tenants set default-tenant --redact '*phone*' --redact '/customer/*/email'
    """
    if labels and no_default_labels:
        raise click.UsageError("Give --default-label or --no-default-labels, not both.")
    if patterns and no_redact:
        raise click.UsageError("Give --redact or --no-redact, not both.")
    default_labels = labels if labels or no_default_labels else None
    redact_patterns = patterns if patterns or no_redact else None
    changes = (max_token_ttl, default_token_ttl, default_labels, audit_arguments, redact_patterns, audit_retention)
    if all(change is None for change in changes):
        raise click.UsageError("Say what to change; see --help.")
    with connected() as act:
        changed = act.tenants.update(
            id,
            max_token_ttl=max_token_ttl,
            default_token_ttl=default_token_ttl,
            default_labels=default_labels,
            audit_arguments=audit_arguments,
            redact_patterns=redact_patterns,
            audit_retention=audit_retention,
        )
    print_one(changed, _COLUMNS)


@tenants.command()
@click.argument("id")
@click.option("--reason", help="For the record.")
@yes_option
def freeze(id: str, reason: str | None, yes: bool) -> None:
    """Deny everything that agents ask, effective on the next request.

    The kill switch. It does not stop actions that were allowed before and are running.

    \b
    Example:
      actctl tenants freeze default-tenant --reason "incident 42"
    """
    confirm(f"Freeze the tenant '{id}'? Everything its agents ask is denied until it is unfrozen.", yes)
    with connected() as act:
        frozen = act.tenants.freeze(id, reason)
    print_one(frozen, _SWITCHED)


@tenants.command()
@click.argument("id")
@click.option("--reason", help="For the record.")
def unfreeze(id: str, reason: str | None) -> None:
    """Decide again by tokens and policies."""
    with connected() as act:
        unfrozen = act.tenants.unfreeze(id, reason)
    print_one(unfrozen, _SWITCHED)


def _say_first_start(key: str, *, chosen: bool) -> None:
    if chosen:
        say("First start of this database: the admin key of default-tenant is the one in ACT_BOOTSTRAP_API_KEY.")
    else:
        say(f"First start of this database. The admin API key of default-tenant, shown once: {key}")
