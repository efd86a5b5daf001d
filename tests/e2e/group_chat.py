"""A user's AutoGen program: a group chat of user proxy, planner and executor. Run by `test_group_chat.py`.

    python group_chat.py sync|async guarded|bare LOG

Reads ACT_BASE_URL, ACT_API_KEY, PLANNER_TOKEN and EXECUTOR_TOKEN. Every tool that really runs leaves a line in LOG.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import autogen

from act import Act
from act.demo.model import ScriptedModel, scripted_llm_config
from act.integrations.autogen import ActGuard, act_tool

how, guarded, log_path = sys.argv[1], sys.argv[2] == "guarded", sys.argv[3]


def ran(what: str) -> None:
    with open(log_path, "a") as log:
        log.write(what + "\n")


@act_tool(action="plan", resource="api://workflows/plan")
def plan_workflow(goal: Annotated[str, "The goal"]) -> str:
    ran(f"plan {goal}")
    return f"planned {goal}"


@act_tool(action="execute", resource="api://tasks/execute/{task_id}")
def execute_task(task_id: Annotated[str, "The task"]) -> str:
    ran(f"execute {task_id}")
    return f"executed {task_id}"


planner = autogen.AssistantAgent("Planner", system_message="You plan.", llm_config=scripted_llm_config())
executor = autogen.AssistantAgent("Executor", system_message="You execute.", llm_config=scripted_llm_config())
user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config={"use_docker": False})
autogen.register_function(plan_workflow, caller=planner, executor=planner, description="Plan")
autogen.register_function(execute_task, caller=executor, executor=executor, description="Execute")
planner.register_for_llm(name="execute_task", description="Execute")(execute_task)

planner.register_model_client(
    ScriptedModel,
    steps=[
        ("plan_workflow", {"goal": "release"}),
        ("execute_task", {"task_id": "42"}),
        "Over to the executor.",
        f"Then by code:\n```python\nopen({log_path!r}, 'a').write('code\\n')\n```",
        "TERMINATE",
    ],
)
executor.register_model_client(
    ScriptedModel,
    steps=[("execute_task", {"task_id": "42"}), ("execute_task", {"task_id": "43"}), "I am stopped."],
)


def speaker(last: autogen.Agent, chat: autogen.GroupChat) -> autogen.Agent:
    agents = {agent.name: agent for agent in chat.agents}
    message = chat.messages[-1]
    if calls := message.get("tool_calls"):
        return agents["Executor" if calls[0]["function"]["name"] == "execute_task" else "Planner"]
    if message.get("role") == "tool":
        asked = next(m["name"] for m in reversed(chat.messages) if m.get("tool_calls"))
        return agents[asked]
    if "```" in str(message.get("content")):
        return agents["user_proxy"]
    return agents["Executor"] if last.name == "Planner" else agents["Planner"]


chat = autogen.GroupChat(
    agents=[user_proxy, planner, executor], messages=[], max_round=20, speaker_selection_method=speaker
)
manager = autogen.GroupChatManager(
    groupchat=chat, llm_config=False, is_termination_msg=lambda m: "TERMINATE" in str(m.get("content") or "")
)

if guarded:
    tokens = {"Planner": os.environ["PLANNER_TOKEN"], "Executor": os.environ["EXECUTOR_TOKEN"]}
    guard = ActGuard(Act(), tokens, on_pending="wait", approval_timeout=6, conversation_id=f"chat-{how}")
    guard.protect(user_proxy, planner, executor)

if how == "async":
    asyncio.run(user_proxy.a_initiate_chat(manager, message="Reach the goal."))
else:
    user_proxy.initiate_chat(manager, message="Reach the goal.")
