"""AutoGen classic: the same driver for `autogen` 0.14 and for `autogen-agentchat` 0.2.40.

Alone, the planner has its model call tools that the user's proxy runs, which is the common pattern. With two, a group
chat routes the planner's call to the executor, who alone registered the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import autogen
from tests.integrations.suite.job import END, Job, Script, Turn

from act.demo.model import ScriptedModel, ToolCall
from act.integrations.autogen import ActGuard


class SuiteModel(ScriptedModel):
    """Says what a `Script` says."""

    def __init__(self, config: Any = None, *, script: Script) -> None:
        super().__init__(config)
        self._script = script

    def create(self, params: Any) -> SimpleNamespace:
        messages = params.get("messages", [])
        turn = self._script.answer([str(m["content"]) for m in messages if m.get("role") == "tool"])
        self._steps.append(_step(turn))
        return super().create(params)


def _step(turn: Turn) -> Any:
    return [ToolCall(call.name, call.arguments) for call in turn.calls] if turn.calls else turn.text


class Classic:
    guard_class: Any = ActGuard
    supported = ("ConversableAgent", "GroupChat")

    def strangers(self) -> Sequence[object]:
        return (autogen.ConversableAgent, {"name": "Planner"})

    def run(self, job: Job) -> None:
        planner, user = _assistant(job.asker, SuiteModel), _user()
        executor = _assistant(job.executor, ScriptedModel) if job.two else user
        for tool in job.tools:
            autogen.register_function(tool, caller=planner, executor=executor, description="A tool")
        planner.register_model_client(SuiteModel, script=job.script)
        agents = [user, planner]
        partner: Any = planner
        if job.two:
            executor.register_model_client(ScriptedModel, after="go on")
            agents.append(executor)
            chat = autogen.GroupChat(
                agents, messages=[], max_round=40, speaker_selection_method=_speaker(planner, executor)
            )
            partner = autogen.GroupChatManager(chat, llm_config=False, is_termination_msg=_ends, silent=True)
        guard = job.guard(self.guard_class)
        if guard is not None:
            guard.protect(*agents)
        if job.asynchronous:
            job.wait(user.a_initiate_chat(partner, message="go", silent=True))
        else:
            user.initiate_chat(partner, message="go", silent=True)


def _assistant(name: str, model: type) -> Any:
    config = {"config_list": [{"model": "scripted", "model_client_cls": model.__name__}], "cache_seed": None}
    return autogen.AssistantAgent(name, llm_config=config)


def _user() -> Any:
    return autogen.UserProxyAgent(
        "user_proxy", human_input_mode="NEVER", code_execution_config=False, is_termination_msg=_ends
    )


def _ends(message: Any) -> bool:
    return str(message.get("content")) == END


def _speaker(planner: Any, executor: Any) -> Callable[[Any, Any], Any]:
    def choose(last: Any, chat: Any) -> Any:
        return executor if last is planner and chat.messages[-1].get("tool_calls") else planner

    return choose


driver = Classic()
