"""A pending approval, put to the person whom the agent can ask.

AG2 brings a `ToolApprovalRequest` to a person by the agent's `hitl_hook`, however far away that person is. With an
`approver` the guard uses that way: what the person says becomes the approval or the rejection in ACT, given with the
approver's API key, and only for exactly the call that was shown.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ag2.events import ToolApprovalRequest
from ag2.exceptions import HumanInputError

from act.integrations.base import Plan
from act.integrations.core import Ruling
from act.models import ReasonCode

if TYPE_CHECKING:
    from act.integrations.ag2.guard import ActGuard

log = logging.getLogger("act.integrations")

_YES = frozenset({"y", "yes", "1"})
"""What AG2's own `approval_required` takes for a yes. Anything else is a no."""


async def put_to_person(
    guard: ActGuard, ruling: Ruling, plan: Plan, tool: str, event: Any, context: Any
) -> Ruling | None:
    """Ask, and tell ACT. The ruling when the person said no; None when ACT is to be asked again.

    A person who cannot be asked has said nothing: the approval stays pending, for whoever else may give it.
    """
    call = plan.call
    question = (
        f"The agent wants to {call.action} {call.resource}: `{tool}` with {plan.canonical}\n{ruling.reason}\n"
        "Approve it? Y/N, or the reason why not.\n"
    )
    try:
        answer = await context.ask(ToolApprovalRequest(question, tool_call_id=event.id, timeout=guard.approval_timeout))
    except HumanInputError as nobody:
        log.warning("approval %s was not put to a person: %s", ruling.approval_id, type(nobody).__name__)
        return None
    said = answer.strip()
    try:
        if said.lower() in _YES:
            await asyncio.to_thread(guard.approver.approvals.approve, ruling.approval_id)
            return None
        why = "the person who was asked said no" if said.lower() in ("", "n", "no") else said
        await asyncio.to_thread(guard.approver.approvals.reject, ruling.approval_id, why)
    except Exception as fault:  # noqa: BLE001 - the approval stays as it was, and ACT says so when it is asked again
        log.warning("approval %s could not be decided: %s", ruling.approval_id, type(fault).__name__)
        return (
            None if said.lower() in _YES else Ruling(ReasonCode.APPROVAL_REJECTED, "The person who was asked said no.")
        )
    return Ruling(ReasonCode.APPROVAL_REJECTED, f"A person rejected this: {why}")
