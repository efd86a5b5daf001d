"""`actctl enforce --batch`: a file of questions, one JSON object a line, asked in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Final

import click

from act.cli.connection import connected
from act.cli.inputs import json_object
from act.cli.output import Column, print_json, print_list, say
from act.cli.running import DENIED, FAILED, PENDING

if TYPE_CHECKING:
    from act.client.batch import Asking, Decisions
    from act.client.proof import ProofKey
    from act.models import Decision

_NAMES: Final = {
    "action": "action",
    "resourceId": "resource",
    "arguments": "arguments",
    "context": "context",
    "requester": "requester",
    "requesterToken": "requester_token",
    "requestId": "request_id",
    "minRevision": "min_revision",
    "dryRun": "dry_run",
}
"""The fields of a line, as in `EnforceRequest`, and the arguments of the SDK that they are."""

_WORST: Final = (FAILED, DENIED, PENDING, 0)


def ask_all(file: IO[bytes], token: str, key: ProofKey | None, *, dry_run: bool) -> int:
    """Ask what the lines of a file ask, with one token; print the decisions; answer the exit code of the worst."""
    from act.cli.command import wants_json

    asked = list(_questions(file, token, key, dry_run))
    if not asked:
        raise click.UsageError(f"{file.name} asks nothing; write one JSON object a line.")
    with connected() as act:
        decisions = act.enforce_batch(asked)
    if wants_json():
        print_json(list(decisions))
    else:
        columns: list[Column[tuple[int, Asking, Decision]]] = [
            ("#", lambda row: row[0]),
            ("decision", lambda row: row[2].decision),
            ("reason code", lambda row: row[2].reason_code),
            ("action", lambda row: row[1]["action"]),
            ("resource", lambda row: row[1]["resource"]),
            ("decision id", lambda row: row[2].decision_id),
        ]
        rows = zip(range(1, len(asked) + 1), asked, decisions, strict=True)
        print_list(rows, columns, nothing="")
    for reason in dict.fromkeys(one.reason for one in decisions if _code(one) == FAILED):
        say(reason)
    return _worst(decisions)


def _questions(file: IO[bytes], token: str, key: ProofKey | None, dry_run: bool) -> Iterator[Asking]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                question = _question(json_object(line))
            except click.BadParameter as error:
                raise click.UsageError(f"{file.name}, line {number}: {error.message}") from None
            question |= {"token": token, "key": key}
            yield question | ({"dry_run": True} if dry_run else {})  # type: ignore[misc]


def _question(line: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from act.client.errors import faults_in
    from act.models import EnforceRequest

    if unknown := line.keys() - _NAMES:
        raise click.BadParameter(f"Unknown field {min(unknown)!r}; there are {', '.join(_NAMES)}.")
    try:
        EnforceRequest.model_validate({"requestId": "x", "capabilityToken": "x"} | line)
    except ValidationError as error:
        raise click.BadParameter(f"{faults_in(error)}.") from None
    return {_NAMES[name]: value for name, value in line.items()}


def _worst(decisions: Decisions) -> int:
    found = {_code(one) for one in decisions}
    return next(code for code in _WORST if code in found)


def _code(decision: Decision) -> int:
    if decision.reason_code == "unreachable":
        return FAILED  # nobody decided
    return {"allowed": 0, "pending_approval": PENDING}.get(decision.decision, DENIED)
