"""`actctl audit`: reading the records, and erasing what is kept of arguments."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from act.cli.command import Command, confirm, yes_option
from act.cli.connection import connected, told_so_far
from act.cli.inputs import Number, Whole
from act.cli.output import Column, print_list, print_one, say
from act.cli.records import COLUMNS, filter_options, with_ids
from act.cli.running import FAILED
from act.cli.tail import follow

if TYPE_CHECKING:
    from act.client.act import Act
    from act.models import ArgumentsErased, AuditRecord


@click.command("list", cls=Command)
@filter_options
@click.option("--since", metavar="TIME", help="RFC 3339, for example 2026-11-22T18:00:00Z.")
@click.option("--until", metavar="TIME", help="RFC 3339.")
@click.option("--limit", type=Whole(1), default=50, show_default=True, help="How many records at most.")
@click.option("--all", "everything", is_flag=True, help="All records, however many.")
@click.option("--order", type=click.Choice(["desc", "asc"]), default="desc", help="[default: desc, the newest first]")
def list_records(limit: int, everything: bool, **filters: Any) -> None:
    """Records that match all filters, newest first.

    \b
    Example:
      actctl audit list --agent "Executor Agent" --decision denied
    """
    with connected() as act:
        page = 200 if everything else min(limit, 200)
        found = act.audit.list(**with_ids(act, filters), limit=page)
        print_list(found if everything else islice(found, limit), COLUMNS, nothing="No records.")


@click.command(cls=Command)
@click.argument("index", type=Whole(0))
def show(index: int) -> None:
    """One record, and what is kept of its arguments."""
    with connected() as act:
        found = act.audit.get(index)
    members: list[Column[AuditRecord]] = [("leafHash", lambda line: line.leaf_hash)]
    members += [(name, partial(_member, name)) for name in found.record]
    if found.arguments is not None:
        members.append(("arguments", lambda line: line.arguments))
    print_one(found, members)


def _member(name: str, line: AuditRecord) -> Any:
    return line.record[name]


@click.command(cls=Command)
@click.argument("id")
@click.pass_context
def story(context: click.Context, id: str) -> None:
    """One workflow, from first question to last outcome.

    ID is a conversation (context.conversationId), a task, or a decision. When there is none, the exit code is 1.

    \b
    Example:
      actctl audit story order-4711
    """
    with connected() as act:
        found = _story(act, id)
        last = max((one.end for one in act.audit.archives()), default=0)
    nothing = f"No record of a conversation, a task or a decision {id!r}."
    print_list(found, COLUMNS, nothing=nothing)
    if last:
        say(f"The records before {last} are archived, and were not looked at; see `actctl audit archives`.")
    context.exit(0 if found else FAILED)


def _story(act: Act, id: str) -> list[AuditRecord]:
    for name in ("conversation", "task", "decision_id"):
        wanted: dict[str, Any] = {name: id}
        found = {line.index: line for line in act.audit.list(**wanted, order="asc", limit=200)}
        if found:
            break
    # What people said is known by the decision that asked them.
    asked = {line.record["decisionId"] for line in found.values() if "approvalId" in line.record}
    for decision_id in asked:
        found |= {line.index: line for line in act.audit.list(decision_id=decision_id)}
    return [found[index] for index in sorted(found)]


@click.command(cls=Command)
@filter_options
@click.option("-n", "--lines", type=Whole(0), default=10, show_default=True, help="Records to begin with.")
@click.option("--interval", type=Number(0.1, 86400), default=1.0, show_default=True, help="Seconds between looks.")
def tail(lines: int, interval: float, **filters: Any) -> None:
    """The newest records, and more as they come.

    Until Ctrl-C. With -o json, one JSON object a line.
    """
    with connected() as act:
        follow(act, with_ids(act, filters), lines, interval)


@click.command(cls=Command)
@click.argument("index", type=Whole(0), required=False)
@click.option("--agent", help="Of this agent (id or name).")
@click.option("--requester", help="That this agent asked for (id or name).")
@click.option("--on-behalf-of", metavar="USER", help="On behalf of this user.")
@click.option("--before", metavar="TIME", help="Before this moment, RFC 3339.")
@click.option("--reason", required=True, help="For the record.")
@yes_option
def erase(index: int | None, reason: str, yes: bool, **whose: str | None) -> None:
    """Erase what was kept of arguments.

    Of one decision, or of all that match. Approvals that are settled lose them, too. The log itself stays as it is, and
    valid; it tells who erased what, and why. Exports, archives and backups that were made before still have it.

    \b
    Examples:
      actctl audit erase 1729 --reason "case 7"
      actctl audit erase --on-behalf-of user:anna --reason "request of 2026-11-22"
    """
    if (index is None) == all(value is None for value in whose.values()):
        raise click.UsageError("Give an INDEX, or say whose: --agent, --requester, --on-behalf-of, --before.")
    confirm("Erase the arguments for good?", yes)
    answers: list[ArgumentsErased] = []
    with connected() as act, told_so_far(lambda: f"those of {_erased(answers)} records were erased"):
        if index is not None:
            answers.append(act.audit.erase(index, reason))
        else:
            named = with_ids(act, {"agent": whose.pop("agent"), "requester": whose.pop("requester")})
            ids = {f"{name}_id": id for name, id in named.items()}
            answers.extend(act.audit.erase_matching(reason, **ids, **whose))  # an error leaves what came before it
    found = {
        "erased": _erased(answers),
        "approvals": sum(answer.approvals for answer in answers),
        "records": [answer.audit.index for answer in answers if answer.audit is not None],
        "overwritten": answers[-1].overwritten,
    }
    print_one(found, [(name, partial(_item, name)) for name in found])
    if not answers[-1].overwritten:
        say("The write-ahead log may still hold some of it; it is written over later, at a restart at the latest.")


def _erased(answers: Iterable[ArgumentsErased]) -> int:
    return sum(answer.erased for answer in answers)


def _item(name: str, found: dict[str, Any]) -> Any:
    return found[name]
