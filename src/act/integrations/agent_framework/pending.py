"""The framework's own approval flow, with the approval of ACT in it.

With `on_pending="request"` a call that a person has to approve ends the run, as a tool with `approval_mode=
"always_require"` does: the response carries a request, and the run goes on when it is answered in the same session. The
answer decides nothing: it makes the gate ask ACT again, which allows, refuses with the reason, or waits on.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from agent_framework import Content, FunctionInvocationContext

from act.integrations.core import Call, Ruling

APPROVAL = "act_approval_id"


def approval_request(context: FunctionInvocationContext, call: Call, ruling: Ruling) -> Any:
    """What the run ends with instead of a result: a `function_approval_request` that names the approval of ACT."""
    call_id = context.metadata["call_id"]
    occurrence = context.metadata.get("function_call_occurrence_id") or call_id
    properties: dict[str, Any] = {APPROVAL: ruling.approval_id, "reason": ruling.text}
    request_id = occurrence
    if context.metadata.get("approval_response") is not None:  # asked again: the framework wants a new request
        request_id = f"{occurrence}:act:{uuid4().hex}"
        properties |= {"_replacement_approval_request": True}
    function_call = Content.from_function_call(
        call_id=call_id, name=context.function.name, arguments=dict(call.arguments), id=occurrence
    )
    return Content.from_function_approval_request(
        id=request_id, function_call=function_call, additional_properties=properties
    )


def approval_of(request: Any) -> str | None:
    """The approval of ACT that a request of the framework stands for."""
    found = getattr(request, "additional_properties", {}).get(APPROVAL)
    return found if getattr(request, "type", None) == "function_approval_request" and isinstance(found, str) else None
