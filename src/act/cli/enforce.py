"""`actctl enforce` and `actctl outcome`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from act.cli.command import Command, secret_in
from act.cli.connection import connected
from act.cli.inputs import json_argument
from act.cli.output import Column, print_one, say
from act.cli.proof_keys import proof_key_option, read_key
from act.cli.questions import ask_all
from act.cli.running import DENIED, PENDING

if TYPE_CHECKING:
    from act.models import Decision, LimitLeft, OutcomeRecorded

_COLUMNS: list[Column[Decision]] = [
    ("decision", lambda decision: decision.decision),
    ("reason code", lambda decision: decision.reason_code),
    ("reason", lambda decision: decision.reason),
    ("decision id", lambda decision: decision.decision_id),
    ("request id", lambda decision: decision.request_id),
    ("agent id", lambda decision: decision.agent_id),
    ("policies", lambda decision: [f"{policy.name} v{policy.version}" for policy in decision.policies]),
    ("near misses", lambda decision: [f"{miss.name}: {miss.message}" for miss in decision.near_misses]),
    ("obligations", lambda decision: decision.obligations),
    ("lease until", lambda decision: decision.lease and decision.lease.expires_at),
    ("left", lambda decision: [_left(left) for left in decision.limits]),
    ("retry after", lambda decision: decision.retry_after and f"{decision.retry_after} s"),
    ("approval", lambda decision: decision.approval and decision.approval.id),
    ("audit index", lambda decision: decision.audit and decision.audit.index),
    ("dry run", lambda decision: decision.dry_run),
]
_OUTCOME: list[Column[OutcomeRecorded]] = [
    ("decision id", lambda answer: answer.decision_id),
    ("status", lambda answer: answer.status),
    ("audit index", lambda answer: answer.audit.index),
    ("repeated", lambda answer: answer.repeated),
]


def _left(left: LimitLeft) -> str:
    unit = f" {left.unit}" if left.unit else ""
    more = "" if left.reset is None else f", more in {left.reset} s"
    return f"{left.constraint}: {left.remaining} of {left.limit}{unit}{more}"


@click.command(cls=Command)
@click.argument("action", required=False)
@click.argument("resource", required=False)
@click.option(
    "--arguments",
    metavar="JSON",
    callback=json_argument,
    help="What the tool would be called with; @FILE reads a file.",
)
@click.option(
    "--context",
    "context_",
    metavar="JSON",
    callback=json_argument,
    help="Where and why it is asked; @FILE reads a file.",
)
@click.option("--requester", help="The agent (id or name) that asked for the call, when it is another.")
@click.option("--request-id", help="The same again within 2 minutes gives the same decision.")
@click.option("--dry-run", is_flag=True, help="Decide and explain, spend nothing, permit nothing.")
@click.option("--token-file", type=click.File("rb"), help="A file with the token, - for stdin.  [default: ACT_TOKEN]")
@click.option("--batch", type=click.File("rb"), metavar="FILE", help="Ask what each line of a file asks; - for stdin.")
@proof_key_option
@click.pass_context
def enforce(
    context: click.Context,
    action: str | None,
    resource: str | None,
    arguments: dict[str, Any] | None,
    context_: dict[str, Any] | None,
    requester: str | None,
    request_id: str | None,
    dry_run: bool,
    token_file: IO[bytes] | None,
    batch: IO[bytes] | None,
    proof_key: Path | None,
) -> None:
    """Ask for one decision, or with --batch for one a line.

    May the agent that holds the token do ACTION on RESOURCE?

    Exits with 0 when it is allowed, 3 when it is denied, 4 when a person must approve it first, 1 when ACT gave no
    decision. With --dry-run the codes are the same and nothing may run.

    A line of --batch FILE is a JSON object with action, resourceId and, as needed, arguments, context, requester,
    requesterToken, requestId, minRevision, dryRun. The lines are decided in their order; the exit code is that of the
    worst: 1, 3, 4, 0.

    \b
    Examples:
      actctl enforce execute api://tasks/execute/42 --arguments '{"amount": 3}' && run-the-task 42
      actctl enforce --batch plan.jsonl -o json
    """
    if batch is None and (action is None or resource is None):
        raise click.UsageError("Name ACTION and RESOURCE, or a file with --batch; see --help.")
    if batch is not None and (action, arguments, context_, requester, request_id) != (None,) * 5:
        raise click.UsageError("With --batch, what is asked stands in the file alone.")
    token = secret_in(token_file) if token_file is not None else os.environ.get("ACT_TOKEN", "").strip()
    if not token:
        raise click.UsageError("There is no capability token; set ACT_TOKEN or name a file with --token-file.")
    key = None if proof_key is None else read_key(proof_key)
    if batch is not None:
        context.exit(ask_all(batch, token, key, dry_run=dry_run))
    assert action is not None
    assert resource is not None
    with connected() as act:
        decision = act.enforce(
            token,
            action,
            resource,
            arguments=arguments,
            context=context_,
            requester=requester,
            request_id=request_id,
            dry_run=dry_run,
            raise_on_error=True,
            key=key,
        )
    print_one(decision, _COLUMNS)
    _advise(decision)
    context.exit({"allowed": 0, "pending_approval": PENDING}.get(decision.decision, DENIED))


def _advise(decision: Decision) -> None:
    if decision.dry_run:
        say("This was a dry run: nothing was spent, and nothing may run on it.")
    elif decision.decision == "pending_approval" and decision.approval:
        say(f"See what is asked with: actctl approvals show {decision.approval.id}; once approved, ask again.")
    elif decision.lease:
        say(f"Report the end with: actctl outcome {decision.decision_id} succeeded")


@click.command(cls=Command)
@click.argument("decision_id")
@click.argument("status", type=click.Choice(["succeeded", "failed", "cancelled"]))
@click.option("--label", "labels", metavar="NAME", multiple=True, help="What was read has this label; may be repeated.")
@click.option("--no-labels", is_flag=True, help="Nothing was read; without labels the tenant's default ones count.")
@click.option(
    "--created", metavar="RESOURCE", multiple=True, help="A resource that the action has made; may be repeated."
)
def outcome(
    decision_id: str,
    status: Literal["succeeded", "failed", "cancelled"],
    labels: tuple[str, ...],
    no_labels: bool,
    created: tuple[str, ...],
) -> None:
    """Say what became of an allowed action; ends its lease.

    Labels and created resources stay in the session of the decision, where the conditions of policies see them.
    """
    if labels and no_labels:
        raise click.UsageError("Give --label or --no-labels, not both.")
    with connected() as act:
        recorded = act.report_outcome(decision_id, status, labels if labels or no_labels else None, created)
    print_one(recorded, _OUTCOME)
