"""A language model for demonstrations and tests: offline, deterministic, and it says what its script says.

`ScriptedModel` is a model client in AutoGen's protocol (`autogen.ModelClient`); one instance serves one agent.
Register it after the tools, because `register_for_llm` rebuilds the agent's client:

    agent = autogen.AssistantAgent("Planner", llm_config=scripted_llm_config())
    autogen.register_function(plan, caller=agent, executor=agent, description="Plan")
    agent.register_model_client(ScriptedModel, steps=[ToolCall("plan", {"goal": "x"}), "TERMINATE"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

__all__ = ["ScriptedModel", "Step", "ToolCall", "scripted_llm_config"]


@dataclass(frozen=True)
class ToolCall:
    """One call that the model asks for. `arguments` is sent as JSON, or as it is when it is a string already.

    `legacy` asks in the form of `function_call`, which stands alone in its message.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    legacy: bool = False


Asked = ToolCall | tuple[str, Mapping[str, Any]]
Step = str | Asked | list[Asked]
"""What the model answers once: a text, a tool call (also as `(name, arguments)`), or a list of calls in one message."""


def scripted_llm_config() -> dict[str, Any]:
    """An AutoGen `llm_config` that waits for a `ScriptedModel` and caches nothing."""
    return {"config_list": [{"model": "scripted", "model_client_cls": "ScriptedModel"}], "cache_seed": None}


class ScriptedModel:
    """Answers with its steps, one each time it is asked, and with `after` when they are used up.

    `seen` receives the messages of every request, as the model was given them.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        steps: Sequence[Step] = (),
        after: str = "TERMINATE",
        seen: list[list[dict[str, Any]]] | None = None,
    ) -> None:
        self._steps = list(steps)
        self._after = after
        self._asked = 0
        self.seen = seen if seen is not None else []

    def create(self, params: Mapping[str, Any]) -> SimpleNamespace:
        """The next answer, in the shape of a chat completion."""
        self.seen.append([dict(message) for message in params.get("messages", [])])
        step = self._steps[self._asked] if self._asked < len(self._steps) else self._after
        self._asked += 1
        message = _message(step, self._asked)
        usage = SimpleNamespace(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        return SimpleNamespace(
            id=f"scripted-{self._asked}",
            model="scripted",
            choices=[SimpleNamespace(index=0, finish_reason="stop", message=message)],
            usage=usage,
            cost=0.0,
        )

    def message_retrieval(self, response: Any) -> list[Any]:
        """Texts, or whole messages where the model asks for calls."""
        return [
            choice.message.content if isinstance(choice.message.content, str) else vars(choice.message)
            for choice in response.choices
        ]

    def cost(self, response: Any) -> float:
        """Nothing."""
        return 0.0

    @staticmethod
    def get_usage(response: Any) -> dict[str, Any]:
        """Zeros, under the names that AutoGen adds up."""
        return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0.0, "model": "scripted"}


def _message(step: Step, turn: int) -> SimpleNamespace:
    if isinstance(step, str):
        return SimpleNamespace(role="assistant", content=step)
    if isinstance(step, ToolCall) and step.legacy:
        return SimpleNamespace(role="assistant", content=None, function_call=_function(step))
    calls = [_call(asked) for asked in (step if isinstance(step, list) else [step])]
    tool_calls = [
        {"id": call.id or f"call-{turn}-{index}", "type": "function", "function": _function(call)}
        for index, call in enumerate(calls)
    ]
    return SimpleNamespace(role="assistant", content=None, tool_calls=tool_calls)


def _call(asked: Asked) -> ToolCall:
    return asked if isinstance(asked, ToolCall) else ToolCall(*asked)


def _function(call: ToolCall) -> dict[str, str]:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments))
    return {"name": call.name, "arguments": arguments}
