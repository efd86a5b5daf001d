"""`actctl approvals`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from act.cli.command import Group
from act.cli.connection import connected
from act.cli.inputs import Number
from act.cli.output import Column, cell, json_text, print_list, print_one, say

if TYPE_CHECKING:
    from act.models import Approval, ApprovalDemand, ApprovalStatus, Vote

STATUSES = ("pending", "approved", "rejected", "expired", "redeemed")

_SHORT: list[Column[Approval]] = [
    ("id", lambda approval: approval.id),
    ("status", lambda approval: approval.status),
    ("agent", lambda approval: approval.agent_name),
    ("action", lambda approval: approval.action),
    ("resource", lambda approval: approval.resource_id),
    ("expires", lambda approval: approval.expires_at),
]
_LONG: list[Column[Approval]] = [
    ("id", lambda approval: approval.id),
    ("status", lambda approval: approval.status),
    ("agent", lambda approval: f"{approval.agent_name} ({approval.agent_id})"),
    ("asked by", lambda approval: approval.requester_id),
    ("action", lambda approval: approval.action),
    ("resource", lambda approval: approval.resource_id),
    ("because of", lambda approval: [f"{policy.name} v{policy.version}" for policy in approval.policies]),
    ("needs", lambda approval: [demanded(demand) for demand in approval.demands]),
    ("approved by", lambda approval: [_vote(vote) for vote in approval.approved_by]),
    ("rejected by", lambda approval: _vote(approval.rejected_by) if approval.rejected_by else None),
    ("reason", lambda approval: approval.reason),
    ("decision id", lambda approval: approval.decision_id),
    ("created", lambda approval: approval.created_at),
    ("expires", lambda approval: approval.expires_at),
]


def _vote(vote: Vote) -> str:
    held = f", held by {vote.person}" if vote.person else ""
    return f"{vote.key_name} ({vote.key_id}{held})"


def demanded(demand: ApprovalDemand) -> str:
    """`1 of 2 people from finance, board`."""
    roles = f" from {', '.join(demand.from_)}" if demand.from_ else ""
    people = "person" if demand.approvers == 1 else "people"
    return f"{demand.given} of {demand.approvers} {people}{roles}"


def still_needs(approval: Approval) -> str:
    """Who has to say yes besides those who have; empty when nobody."""
    missing = [demanded(demand) for demand in approval.demands if demand.given < demand.approvers]
    return f"Others must approve, too: {'; '.join(missing)}." if approval.status == "pending" and missing else ""


def fields_of(approval: Approval) -> dict[str, str]:
    """What there is to know of an approval, but for the arguments and the context."""
    return {heading: cell(value(approval)) for heading, value in _LONG}


def _print(approval: Approval) -> None:
    print_one(
        approval,
        _LONG,
        {"arguments": json_text(approval.arguments), "context": json_text(approval.context)},
    )


@click.group(cls=Group)
def approvals() -> None:
    """What people are asked.

    See exactly what would run, then allow or refuse it once.
    """


@approvals.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="[default: all]")
def list_approvals(status: ApprovalStatus | None) -> None:
    """What was and is asked."""
    with connected() as act:
        nothing = f"No approvals are {status}." if status else "No approvals."
        print_list(act.approvals.list(status), _SHORT, nothing=nothing)


@approvals.command()
@click.argument("id")
def show(id: str) -> None:
    """Exactly what would run.

    Characters that a terminal would obey or hide are shown as \\uXXXX.
    """
    with connected() as act:
        found = act.approvals.get(id)
    _print(found)


@approvals.command()
@click.option("--interval", type=Number(min=0.1), default=1.0, show_default=True, help="Seconds.")
def watch(interval: float) -> None:
    """Decide what comes in, as it comes in.

    Shows exactly what would run. Up and down (or k and j) choose, space reads on, a approves, r rejects and asks for
    the reason, q quits. Without a terminal, or with -o json, each new approval is printed on a line of its own until
    the command is interrupted.
    """
    from act.cli.watch import watch as watch_pending

    with connected() as act:
        watch_pending(act, interval)


@approvals.command()
@click.argument("id")
@click.option("--reason", help="Kept in the audit log.")
def approve(id: str, reason: str | None) -> None:
    """Allow it once.

    The API key says who approves; the key that asked cannot.
    """
    with connected() as act:
        changed = act.approvals.approve(id, reason)
    _print(changed)
    if words := still_needs(changed):
        say(words)


@approvals.command()
@click.argument("id")
@click.option("--reason", required=True, help="Goes back to the agent.")
def reject(id: str, reason: str) -> None:
    """Refuse it; the reason goes back to the agent."""
    with connected() as act:
        changed = act.approvals.reject(id, reason)
    _print(changed)
