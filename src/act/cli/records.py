"""Audit records as commands filter and show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from act.cli.connection import agent_id
from act.cli.output import Column

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import AuditRecord

COLUMNS: list[Column[AuditRecord]] = [
    ("index", lambda line: line.index),
    ("time", lambda line: line.record.get("at")),
    ("kind", lambda line: line.record.get("kind")),
    ("agent", lambda line: line.record.get("agentName") or line.record.get("agentId")),
    ("what", lambda line: _what(line.record)),
    ("decision", lambda line: line.record.get("decision") or line.record.get("status")),
    ("reason code", lambda line: line.record.get("reasonCode")),
]

_SUBJECTS = ("policyName", "apiKeyName", "tenantName", "agentName", "tokenId", "kid", "approvalId")
_FILTERS = (
    click.option("--agent", help="The agent that acted (id or name)."),
    click.option("--requester", help="The agent that asked for the call (id or name)."),
    click.option("--action", help="Exactly this action."),
    click.option("--resource", metavar="PATTERN", help="* matches anything."),
    click.option("--decision", type=click.Choice(["allowed", "denied", "pending_approval"])),
    click.option("--reason-code", metavar="CODE", help="For example no_matching_policy."),
    click.option("--request-id", metavar="ID", help="The caller's own id of a request."),
    click.option("--task", metavar="ID", help="The task of the token."),
    click.option("--conversation", metavar="ID", help="context.conversationId of the requests."),
    click.option("--kind", help="For example decision, policy.created, token.revoked."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which records are found; a command gets them as keyword arguments."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def with_ids(act: Act, filters: dict[str, Any]) -> dict[str, Any]:
    """The filters, with agents by id. An agent that is gone is still in the log, so its id need not be known."""
    named = {name: filters[name] for name in ("agent", "requester") if filters[name] is not None}
    return filters | {name: agent_id(act, agent, must_exist=False) for name, agent in named.items()}


def _what(record: dict[str, Any]) -> str | None:
    """What a record is about: the action and its resource, or the name of what was changed."""
    if "action" in record:
        return f"{record['action']} {record.get('resourceId', '')}"
    return next((record[member] for member in _SUBJECTS if isinstance(record.get(member), str)), None)
