"""`actctl delegations`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from act.cli.command import Group, wants_json
from act.cli.connection import connected
from act.cli.durations import Duration
from act.cli.output import cell, print_json, warn
from act.cli.proof_keys import bind_options, given_cnf, proof_key_option, read_key
from act.cli.scopes import given_facts, given_scope, narrowing_options, shown_token, token_option
from act.cli.secrets import issue
from act.cli.tokens import ISSUED, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from act.models import DelegationNode

GRANTS: Final = ("use", "delegate")

_LINES: Final = ("├─ ", "└─ ", "│  ", "   ")
_PLAIN: Final = ("|- ", "`- ", "|  ", "   ")


@click.group(cls=Group)
def delegations() -> None:
    """What agents hand down to one another."""


@delegations.command()
@click.argument("agent")
@narrowing_options
@click.option("--expires-in", type=Duration(), help="No longer than the parent.  [default: the tenant's]")
@click.option("--renew-for", type=Duration(), help="How long its holder may renew it.")
@click.option("--grant", "grants", type=click.Choice(GRANTS), multiple=True, help="May be repeated.  [default: use]")
@click.option("--to-role", "roles", metavar="ROLE", multiple=True, help="With delegate: who may get it next.")
@click.option("--to-agent", "agents", metavar="ID", multiple=True, help="With delegate: who may get it next.")
@click.option("--max-depth", type=int, help="With delegate: how many agents may follow.  [default: 1]")
@token_option
@proof_key_option
@bind_options
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the token there, mode 0600.")
def create(
    agent: str,
    scopes: tuple[str, ...],
    scope_file: str | None,
    task: str | None,
    facts_file: str | None,
    expires_in: int | None,
    renew_for: int | None,
    grants: tuple[str, ...],
    roles: tuple[str, ...],
    agents: tuple[str, ...],
    max_depth: int | None,
    token_file: IO[bytes],
    proof_key: Path | None,
    bind: Path | None,
    bind_to: str | None,
    save: Path | None,
) -> None:
    """Hand a part of a token down to AGENT, an id or a name.

    Whoever holds the parent token may do this; it is read from stdin. The child's token is shown now and never again.
    A child of a token that is bound to a key (--proof-key) is bound to one as well (--bind or --bind-to).

    \b
    Example:
      actctl delegations create "Executor Agent" --scope 'execute:api://tasks/execute/*' < planner.token
    """
    scope, facts = given_scope(scopes, scope_file), given_facts(facts_file)
    if scope is None:
        raise click.UsageError("Say what is handed down with --scope or --scope-file.")
    parent, cnf = shown_token(token_file), given_cnf(bind, bind_to)
    key = None if proof_key is None else read_key(proof_key)
    hand_to = {name: given for name, given in (("roles", roles), ("agent_ids", agents)) if given} or None
    with connected() as act:
        made = issue(
            lambda: act.delegations.create(
                parent,
                agent,
                scope=scope,
                expires_in=expires_in,
                renew_for=renew_for,
                grants=grants or None,
                hand_to=hand_to,
                max_depth=max_depth,
                task=task,
                facts=facts,
                cnf=cnf,
                key=key,
            ),
            "token",
            ISSUED,
            save,
        )
    for warning in made.warnings:
        warn(f"{warning.message} ({warning.code})")


@delegations.command()
@click.argument("token_id")
def tree(token_id: str) -> None:
    """What was handed down from a token, all the way down."""
    with connected() as act:
        root = act.delegations.tree(token_id)
    if wants_json():
        print_json(root)
        return
    lines = _LINES if (sys.stdout.encoding or "").lower().startswith("utf") else _PLAIN
    for line in _drawn(root, "", "", lines):
        click.echo(line)


def _drawn(node: DelegationNode, first: str, further: str, lines: tuple[str, str, str, str]) -> Iterator[str]:
    """One line for each node. Not deeper than a chain may be, so it may call itself."""
    branch, last, along, empty = lines
    rights = "" if node.grants == ["use"] else f"  may {' and '.join(node.grants)}"
    yield (
        f"{first}{cell(node.agent_id)}  {node.status}  until {cell(node.expires_at)}"
        f"  {cell(parts(node.scope)) if node.scope else 'everything'}{rights}  {cell(node.token_ids)}"
    )
    for child in node.children:
        ends = child is node.children[-1]
        yield from _drawn(child, further + (last if ends else branch), further + (empty if ends else along), lines)
