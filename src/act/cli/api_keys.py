"""`actctl api-keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from act.cli.command import Group, confirm, yes_option
from act.cli.connection import agent_id, connected
from act.cli.durations import Duration
from act.cli.output import Column, print_list, print_one
from act.cli.secrets import issue

if TYPE_CHECKING:
    from act.models import ApiKey, IssuedApiKey

SCOPES = ("admin", "agents", "policies", "tokens", "enforce", "approve", "audit", "analysis")

_COLUMNS: list[Column[ApiKey]] = [
    ("id", lambda key: key.id),
    ("name", lambda key: key.name),
    ("prefix", lambda key: key.prefix),
    ("scopes", lambda key: [str(scope) for scope in key.scopes]),
    ("agent", lambda key: key.agent_id),
    ("roles", lambda key: key.roles),
    ("person", lambda key: key.person),
    ("created", lambda key: key.created_at),
    ("expires", lambda key: key.expires_at),
    ("last used", lambda key: key.last_used_at),
    ("revoked", lambda key: key.revoked_at),
]
_SAID = ("id", "name", "scopes", "agent", "roles", "person", "expires")
_ISSUED = [column for column in _COLUMNS if column[0] in _SAID]


@click.group("api-keys", cls=Group)
def api_keys() -> None:
    """Who may call ACT: API keys.

    These commands need a key with the scope admin.
    """


@api_keys.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--agent", help="Accept only tokens of this agent (id or name).")
@click.option("--role", "roles", multiple=True, help="A role in which its holder approves. May be repeated.")
@click.option("--person", help="Who holds it, such as an e-mail address: all keys of one person are one approver.")
@click.option("--expires-in", type=Duration(), help="For example 8h or 90d.  [default: never]")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the key there, mode 0600.")
def create(
    name: str,
    scopes: tuple[str, ...],
    agent: str | None,
    roles: tuple[str, ...],
    person: str | None,
    expires_in: int | None,
    save: Path | None,
) -> None:
    """Make an API key. It is shown now and never again.

    An agent's own process should hold a key with the scope enforce alone; an approver one with approve.

    \b
    Examples:
      actctl api-keys create executor --scope enforce --agent "Executor Agent" --save executor.key
      actctl api-keys create ann --scope approve --role finance --person ann@example.com --save ann.key
    """
    with connected() as act:
        bound = agent_id(act, agent) if agent else None

        def make() -> IssuedApiKey:
            return act.api_keys.create(name, scopes, agent_id=bound, expires_in=expires_in, roles=roles, person=person)

        issue(make, "key", _ISSUED, save)


@api_keys.command("list")
def list_keys() -> None:
    """All API keys, without their strings."""
    with connected() as act:
        print_list(act.api_keys.list(), _COLUMNS, nothing="No API keys.")


@api_keys.command()
@click.argument("id")
@yes_option
def revoke(id: str, yes: bool) -> None:
    """Revoke an API key, effective on the next request."""
    confirm(f"Revoke the API key {id}?", yes)
    with connected() as act:
        revoked = act.api_keys.revoke(id)
    print_one(revoked, [("id", lambda answer: answer.id), ("revision", lambda answer: answer.revision)])
