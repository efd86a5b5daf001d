"""`actctl agents`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from act.cli.command import Group, confirm, wants_json, yes_option
from act.cli.connection import connected, for_agent
from act.cli.inputs import pairs
from act.cli.output import Column, print_json, print_list, print_one, say

if TYPE_CHECKING:
    from act.models import Agent

_SHORT: list[Column[Agent]] = [
    ("id", lambda agent: agent.id),
    ("name", lambda agent: agent.name),
    ("roles", lambda agent: _roles(agent)),
    ("status", lambda agent: agent.status),
]
_LONG: list[Column[Agent]] = [
    *_SHORT,
    ("description", lambda agent: agent.description),
    ("metadata", lambda agent: agent.metadata),
    ("created", lambda agent: agent.created_at),
    ("updated", lambda agent: agent.updated_at),
    ("revision", lambda agent: agent.revision),
]


def _roles(agent: Agent) -> list[str]:
    role = agent.metadata.get("role")
    return [*agent.roles, role] if isinstance(role, str) and role not in agent.roles else agent.roles


@click.group(cls=Group)
def agents() -> None:
    """Who may ask at all.

    Register agents, suspend them, revoke their tokens. AGENT is an id or a name.
    """


@agents.command()
@click.argument("name")
@click.option("--id", help="An id of your own; ACT makes one otherwise.")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="A role of the agent; may be repeated.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="May be repeated; `role` is a role too.")
@click.option("--description", default="", help="What the agent is for.")
def create(name: str, id: str | None, roles: tuple[str, ...], metadata: tuple[str, ...], description: str) -> None:
    """Register an agent.

    \b
    Example:
      actctl agents create "Executor Agent" --metadata role=executor
    """
    values = pairs(metadata, "--metadata")
    with connected() as act:
        made = act.agents.create(name, id=id, description=description, roles=roles, metadata=values)
    print_one(made, _LONG)


@agents.command("list")
def list_agents() -> None:
    """All agents."""
    with connected() as act:
        print_list(act.agents.list(), _SHORT, nothing="No agents yet; `actctl agents create NAME` registers one.")


@agents.command()
@click.argument("agent")
def show(agent: str) -> None:
    """One agent."""
    with connected() as act:
        found = for_agent(act, agent, act.agents.get)
    print_one(found, _LONG)


@agents.command()
@click.argument("agent")
@click.option("--name")
@click.option("--description")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="Takes the place of all roles; may be repeated.")
@click.option("--no-roles", is_flag=True, help="Take all roles away.")
@click.option("--metadata", metavar="KEY=VALUE", multiple=True, help="Takes the place of all metadata.")
@click.option("--no-metadata", is_flag=True, help="Take all metadata away.")
def update(
    agent: str,
    name: str | None,
    description: str | None,
    roles: tuple[str, ...],
    no_roles: bool,
    metadata: tuple[str, ...],
    no_metadata: bool,
) -> None:
    """Change an agent. What is not named stays; roles and metadata are replaced as a whole.

    \b
    Example:
      actctl agents update "Executor Agent" --role executor --role auditor
    """
    if (roles and no_roles) or (metadata and no_metadata):
        raise click.UsageError("Either give new ones or take all away.")
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = name
    if description is not None:
        changes["description"] = description
    if roles or no_roles:
        changes["roles"] = list(roles)
    if metadata or no_metadata:
        changes["metadata"] = pairs(metadata, "--metadata")
    if not changes:
        raise click.UsageError("Say what to change, for example --role.")
    with connected() as act:
        changed = for_agent(act, agent, lambda id: act.agents.update(id, **changes))
    print_one(changed, _LONG)


@agents.command()
@click.argument("agent")
@yes_option
def delete(agent: str, yes: bool) -> None:
    """Delete an agent for good.

    Its tokens are denied from now on.
    """
    with connected() as act:
        found = for_agent(act, agent, act.agents.get)
        confirm(f"Delete the agent '{found.name}' ({found.id}) for good?", yes)
        act.agents.delete(found.id)
    say(f"Deleted the agent '{found.name}' ({found.id}).")
    if wants_json():
        print_json({"id": found.id, "deleted": True})


@agents.command()
@click.argument("agent")
def suspend(agent: str) -> None:
    """Deny an agent everything until it is resumed."""
    with connected() as act:
        changed = for_agent(act, agent, act.agents.suspend)
    print_one(changed, _LONG)


@agents.command()
@click.argument("agent")
def resume(agent: str) -> None:
    """Let a suspended agent ask again."""
    with connected() as act:
        changed = for_agent(act, agent, act.agents.resume)
    print_one(changed, _LONG)


@agents.command("revoke-tokens")
@click.argument("agent")
@yes_option
def revoke_tokens(agent: str, yes: bool) -> None:
    """Revoke every token issued to an agent until now."""
    with connected() as act:
        found = for_agent(act, agent, act.agents.get)
        confirm(f"Revoke all tokens of '{found.name}' ({found.id})?", yes)
        revoked = act.agents.revoke_tokens(found.id)
    print_one(
        revoked,
        [
            ("agent id", lambda answer: answer.agent_id),
            ("revoked", lambda answer: answer.revoked),
            ("revision", lambda answer: answer.revision),
        ],
    )
