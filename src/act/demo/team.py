"""The group chat of the demonstration: user proxy, planner and executor on scripted models, AutoGen's own tool path."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, TextIO

import autogen

from act.demo.model import ScriptedModel, Step, scripted_llm_config
from act.demo.tools import execute_task, plan_workflow
from act.integrations.autogen import ActGuard

MESSAGE = "Reach the goal 'release': plan it, then execute tasks 42 and 43."

PLANNER: Sequence[Step] = (
    ("plan_workflow", {"goal": "release"}),
    ("execute_task", {"task_id": "42"}),
    "I may not execute tasks. Executor, over to you.",
    "TERMINATE",
)
EXECUTOR: Sequence[Step] = (
    ("execute_task", {"task_id": "42"}),
    ("execute_task", {"task_id": "43"}),
    "I am stopped.",
)


def build() -> tuple[autogen.UserProxyAgent, autogen.GroupChatManager, list[Any]]:
    """The team as an AutoGen user writes it, without a word about ACT."""
    planner = autogen.AssistantAgent("Planner", system_message="You plan.", llm_config=scripted_llm_config())
    executor = autogen.AssistantAgent("Executor", system_message="You execute.", llm_config=scripted_llm_config())
    user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
    autogen.register_function(plan_workflow, caller=planner, executor=planner, description="Plan a workflow")
    autogen.register_function(execute_task, caller=executor, executor=executor, description="Execute a task")
    # The planner's model knows execute_task as well; only the executor can carry it out.
    planner.register_for_llm(name="execute_task", description="Execute a task")(execute_task)
    planner.register_model_client(ScriptedModel, steps=PLANNER)
    executor.register_model_client(ScriptedModel, steps=EXECUTOR)

    chat = autogen.GroupChat(
        agents=[user_proxy, planner, executor],
        messages=[],
        max_round=16,
        speaker_selection_method=_next_speaker,
    )
    manager = autogen.GroupChatManager(
        groupchat=chat,
        llm_config=False,
        is_termination_msg=lambda message: "TERMINATE" in str(message.get("content") or ""),
    )
    return user_proxy, manager, [user_proxy, planner, executor]


def _next_speaker(last: Any, chat: autogen.GroupChat) -> Any:
    """The planner speaks until it hands over, then the executor until it stops, then the planner ends the chat."""
    agents = {agent.name: agent for agent in chat.agents}
    message = chat.messages[-1]
    if message.get("tool_calls"):
        wanted = message["tool_calls"][0]["function"]["name"]
        return agents["Executor" if wanted == "execute_task" else "Planner"]
    if message.get("role") == "tool":
        return agents["Planner" if _asked_by(chat) == "Planner" else "Executor"]
    return agents["Executor" if last.name == "Planner" else "Planner"]


def _asked_by(chat: autogen.GroupChat) -> str:
    """Who asked for the tool call that was answered last."""
    return next(str(message["name"]) for message in reversed(chat.messages) if message.get("tool_calls"))


def run(guard: ActGuard, transcript: TextIO) -> None:
    """Put the team under the guard, the one line that ACT needs, and let it talk."""
    user_proxy, manager, agents = build()
    with contextlib.redirect_stdout(transcript):
        guard.protect(*agents)
        user_proxy.initiate_chat(manager, message=MESSAGE, clear_history=True)
