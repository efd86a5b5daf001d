"""`actctl tokens`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from act.cli.command import Group, confirm, yes_option
from act.cli.connection import agent_id, connected
from act.cli.output import Column, print_list, print_one, warn
from act.cli.secrets import issue as issue_secret

if TYPE_CHECKING:
    from act.models import IssuedToken, Token

_COLUMNS: list[Column[Token]] = [
    ("id", lambda token: token.id),
    ("agent id", lambda token: token.agent_id),
    ("status", lambda token: token.status),
    ("issued", lambda token: token.issued_at),
    ("expires", lambda token: token.expires_at),
    ("revoked", lambda token: token.revoked_at),
]
_ISSUED: list[Column[IssuedToken]] = [
    ("token id", lambda token: token.token_id),
    ("agent id", lambda token: token.agent_id),
    ("expires", lambda token: token.expires_at),
]


@click.group(cls=Group)
def tokens() -> None:
    """What agents show when they ask.

    AGENT is an id or a name.
    """


@tokens.command()
@click.argument("agent")
@click.option("--expires-in", type=int, metavar="SECONDS", help="[default: the tenant's]")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the token there, mode 0600.")
def issue(agent: str, expires_in: int | None, save: Path | None) -> None:
    """Issue a token to an agent. It is shown now and never again.

    \b
    Example:
      export ACT_TOKEN=$(actctl tokens issue "Planner Agent" --expires-in 3600)
    """
    with connected() as act:
        id = agent_id(act, agent)
        made = issue_secret(lambda: act.tokens.issue(id, expires_in=expires_in), "token", _ISSUED, save)
    for warning in made.warnings:
        warn(f"{warning.message} ({warning.code})")


@tokens.command("list")
@click.option("--agent", help="Only those of this agent.")
def list_tokens(agent: str | None) -> None:
    """All tokens, without their strings."""
    with connected() as act:
        id = agent_id(act, agent, must_exist=False) if agent else None
        print_list(act.tokens.list(id), _COLUMNS, nothing="No tokens.")


@tokens.command()
@click.argument("id")
def show(id: str) -> None:
    """One token, without its string."""
    with connected() as act:
        found = act.tokens.get(id)
    print_one(found, _COLUMNS)


@tokens.command()
@click.argument("id")
@yes_option
def revoke(id: str, yes: bool) -> None:
    """Revoke a token, effective on the next request."""
    with connected() as act:
        found = act.tokens.get(id)
        confirm(f"Revoke the token {found.id} of agent {found.agent_id} ({found.status})?", yes)
        revoked = act.tokens.revoke(found.id)
    print_one(
        revoked,
        [
            ("token id", lambda answer: answer.token_id),
            ("revoked", lambda answer: answer.revoked),
            ("revision", lambda answer: answer.revision),
        ],
    )
