"""`actctl policies`."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from act.cli.command import Group, confirm, wants_json, yes_option
from act.cli.connection import agent_id, connected
from act.cli.inputs import object_in
from act.cli.output import Column, cell, print_json, print_list, print_one, say, warn

if TYPE_CHECKING:
    from act.models import Policy

_SHORT: list[Column[Policy]] = [
    ("id", lambda policy: policy.id),
    ("version", lambda policy: policy.version),
    ("name", lambda policy: policy.name),
    ("effect", lambda policy: policy.effect),
    ("actions", lambda policy: policy.actions),
    ("resources", lambda policy: policy.resources),
    ("applies to", lambda policy: _applies_to(policy)),
    ("constraints", lambda policy: policy.constraints),
    ("enabled", lambda policy: policy.enabled),
]
_LONG: list[Column[Policy]] = [
    *_SHORT,
    ("binding", lambda policy: policy.binding),
    ("description", lambda policy: policy.description),
    ("mode", lambda policy: policy.mode),
    ("valid from", lambda policy: policy.valid_from),
    ("valid until", lambda policy: policy.valid_until),
    ("created", lambda policy: policy.created_at),
    ("updated", lambda policy: policy.updated_at),
    ("revision", lambda policy: policy.revision),
]


def _applies_to(policy: Policy) -> str:
    if policy.applies_to is None:
        return "every agent"
    named = {"roles": policy.applies_to.get("roles"), "agents": policy.applies_to.get("agentIds")}
    return "; ".join(f"{what} {cell(found)}" for what, found in named.items() if found) or "nobody"


def _print_written(policy: Policy) -> None:
    """A policy that was just written, with everything its author should know."""
    print_one(policy, _LONG)
    how = {
        "explicit": "as the policy says",
        "inferred": "inferred from the policy's name",
        "tenant": "the policy names nobody",
    }[policy.binding]
    say(f"Applies to {_applies_to(policy)}: {how}.")
    for warning in policy.warnings:
        warn(f"{warning.message} ({warning.code})")


@click.group(cls=Group)
def policies() -> None:
    """What agents may do.

    ID is the id of a policy, as `actctl policies list` shows it.
    """


@policies.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--id", help="An id of your own; ACT makes one otherwise.")
@click.option("--name")
@click.option("--description")
@click.option("--action", "actions", metavar="PATTERN", multiple=True, help="May be repeated; * matches anything.")
@click.option("--resource", "resources", metavar="PATTERN", multiple=True, help="May be repeated; * matches anything.")
@click.option("--effect", type=click.Choice(["allow", "deny"]), help="[default: allow]")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="Applies to agents of this role; repeatable.")
@click.option("--agent", "agents", metavar="AGENT", multiple=True, help="Applies to this agent (id or name).")
@click.option("--require-approval", is_flag=True, help="A person must approve every single use.")
@click.option("--max-concurrent", type=int, metavar="N", help="At most N tasks of an agent at the same time.")
def create(file: IO[bytes] | None, **options: Any) -> None:
    """Write a policy.

    It is a document in FILE (JSON, or YAML in *.yaml; - is JSON on stdin), or written with options.

    Without --role and --agent ACT binds an allow policy to the role that its name begins with, and says so.

    \b
    Example:
      actctl policies create --name "Executor Capabilities" --action execute --action update \\
        --resource "api://tasks/execute/*" --require-approval --max-concurrent 5
    """
    given = {name: value for name, value in options.items() if value not in (None, (), False)}
    if file is not None and given:
        raise click.UsageError("Either name a file or write the policy with options.")
    if file is None and not (options["name"] and options["actions"] and options["resources"]):
        raise click.UsageError("Name a file, or give at least --name, --action and --resource.")
    document = object_in(file) if file is not None else None
    with connected() as act:
        if document is None:
            named = [agent_id(act, agent) for agent in options["agents"]]
            document = _document(options, named)
        made = act.policies.create(document)
    _print_written(made)


def _document(options: dict[str, Any], agent_ids: list[str]) -> dict[str, Any]:
    """A policy as its author would write it (2-semantics, "Policies"); what was not said is left out."""
    document: dict[str, Any] = {"actions": list(options["actions"]), "resources": list(options["resources"])}
    for member in ("id", "name", "description", "effect"):
        if options[member] is not None:
            document[member] = options[member]
    if options["roles"] or agent_ids:
        document["appliesTo"] = {"roles": list(options["roles"]), "agentIds": agent_ids}
    constraints: dict[str, Any] = {}
    if options["require_approval"]:
        constraints["requiresApproval"] = True
    if options["max_concurrent"] is not None:
        constraints["maxConcurrentTasks"] = options["max_concurrent"]
    if constraints:
        document["constraints"] = constraints
    return document


@policies.command("list")
def list_policies() -> None:
    """All policies in their current versions."""
    with connected() as act:
        print_list(act.policies.list(), _SHORT, nothing="No policies yet, so everything is denied.")


@policies.command()
@click.argument("id")
def show(id: str) -> None:
    """One policy in its current version, with its warnings."""
    with connected() as act:
        found = act.policies.get(id)
    print_one(found, _LONG)
    for warning in found.warnings:
        warn(f"{warning.message} ({warning.code})")


@policies.command()
@click.argument("id")
@click.argument("file", type=click.File("rb"))
def replace(id: str, file: IO[bytes]) -> None:
    """Write the next version of a policy.

    FILE is its document: JSON, or YAML in *.yaml; - is JSON on stdin. A member that is left out has its default,
    not its former value; only an allow policy without appliesTo stays bound as it was.
    """
    document = object_in(file)
    with connected() as act:
        written = act.policies.replace(id, document)
    _print_written(written)


@policies.command()
@click.argument("id")
@yes_option
def delete(id: str, yes: bool) -> None:
    """Delete a policy; its versions can still be shown."""
    with connected() as act:
        found = act.policies.get(id)
        confirm(f"Delete the {found.effect} policy '{found.name}' ({found.id})?", yes)
        act.policies.delete(found.id)
    say(f"Deleted the policy '{found.name}' ({found.id}).")
    if wants_json():
        print_json({"id": found.id, "deleted": True})


@policies.command()
@click.argument("id")
def versions(id: str) -> None:
    """All versions of a policy, oldest first; also of a deleted one."""
    with connected() as act:
        columns = [("version", lambda policy: policy.version), ("written", lambda policy: policy.updated_at)]
        rest = [column for column in _SHORT if column[0] not in ("id", "version")]
        print_list(act.policies.versions(id), [*columns, *rest], nothing="No versions.")
