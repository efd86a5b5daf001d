"""`actctl templates`: sets of policies for usual teams of agents, to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from act.cli.command import Group, OfflineCommand, wants_json
from act.cli.connection import connected
from act.cli.output import Column, print_json, print_list, say, warn
from act.cli.policy_files import engine

if TYPE_CHECKING:
    from act.cli.policy_changes import Change

NAMES: Final = ("workflow-automation", "data-pipeline", "customer-service")

_TEMPLATES: list[Column[dict[str, Any]]] = [
    ("name", lambda row: row["name"]),
    ("roles", lambda row: row["roles"]),
    ("about", lambda row: row["about"]),
]
_APPLIED: list[Column[dict[str, Any]]] = [
    ("policy", lambda row: row["name"]),
    ("id", lambda row: row["id"]),
    ("what", lambda row: row["what"]),
]

_name = click.argument("name", type=click.Choice(NAMES))


def template_text(name: str) -> str:
    """A template as it is written, YAML."""
    from importlib.resources import files

    return files("act").joinpath("templates", f"{name}.yaml").read_text("utf-8")


def template(name: str) -> dict[str, Any]:
    """A template: `about`, and `policies` as they are on the wire."""
    with engine():
        from act.cli.documents import read_yaml

        found: dict[str, Any] = read_yaml(template_text(name).encode())
    return found


@click.group(cls=Group)
def templates() -> None:
    """Policies for usual teams of agents, to begin with."""


@templates.command("list", cls=OfflineCommand)
def list_templates() -> None:
    """What there is."""
    rows = []
    for name in NAMES:
        found = template(name)
        roles = [role for policy in found["policies"] for role in policy["appliesTo"]["roles"]]
        rows.append({"name": name, "roles": roles, "about": found["about"]})
    print_list(rows, _TEMPLATES, nothing="No templates.")


@templates.command(cls=OfflineCommand)
@_name
def show(name: str) -> None:
    """The policies of a template, as YAML to keep and to change."""
    if wants_json():
        print_json(template(name))
    else:
        click.echo(template_text(name), nl=False)


@templates.command()
@_name
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
def apply(name: str, dry_run: bool) -> None:
    """Write the policies of a template that are not on the server yet.

    A policy is known by its name. One that is there stays as it is, also where it differs from the template.
    """
    with engine():
        from act.cli.policy_changes import changes_of
        from act.models import PolicyDraft

        written = template(name)["policies"]
    rows = []
    with connected() as act:
        changes = changes_of(act, [PolicyDraft.model_validate(policy) for policy in written])
        for policy, change in zip(written, changes, strict=True):
            id = change.id
            if change.kind == "new" and not dry_run:
                id = act.policies.create(policy).id
            rows.append({"name": change.name, "id": id, "what": _what(change, dry_run)})
    print_list(rows, _APPLIED, nothing="No policies.")
    for change in changes:
        if change.kind == "changed":
            places = ", ".join(place.pointer for place in change.places)
            warn(f"'{change.name}' is there and differs from the template at {places}; it was left as it is.")
    if dry_run:
        say("This was a dry run: nothing was written.")


def _what(change: Change, dry_run: bool) -> str:
    if change.kind == "new":
        return "would be written" if dry_run else "written"
    return "there already" if change.kind == "same" else "differs"
