"""A planner and an executor in an AutoGen classic group chat; three lines put them under ACT.

Run: python examples/autogen/plan_and_execute.py

Offline the models are scripted. With OPENAI_API_KEY set they are real: pip install "autogen[openai]" (AutoGen 0.14;
autogen-agentchat 0.2.40 has it already).
"""

import os
import tempfile

import autogen

from act import Act
from act.integrations.autogen import ActGuard, act_tool  # 1. (of three)

LIVE = "OPENAI_API_KEY" in os.environ


def rights(act: Act) -> dict[str, str]:
    """What an administrator does, once: agents, policies, tokens."""
    planner = act.agents.create("Planner", roles=["planner"])
    executor = act.agents.create("Executor", roles=["executor"])
    plan, tasks = ["api://workflows/*"], ["api://tasks/execute/*"]
    act.policies.create(name="Plan", actions=["plan"], resources=plan, applies_to={"roles": ["planner"]})
    act.policies.create(name="Execute", actions=["execute"], resources=tasks, applies_to={"roles": ["executor"]})
    return {"Planner": act.tokens.issue(planner.id).token, "Executor": act.tokens.issue(executor.id).token}


@act_tool(action="plan", resource="api://workflows/{workflow}")
def plan_workflow(workflow: str) -> str:
    """Plan a workflow."""
    return f"The plan of {workflow}: the executor executes task 42."


@act_tool(action="execute", resource="api://tasks/execute/{task_id}", labels=[])
def execute_task(task_id: str) -> str:
    """Execute a task."""
    return f"Task {task_id} is done."


def model() -> dict[str, object]:
    if LIVE:
        return {"config_list": [{"model": "gpt-4o-mini", "api_key": os.environ["OPENAI_API_KEY"]}], "cache_seed": None}
    from act.demo.model import scripted_llm_config

    return scripted_llm_config()


def next_speaker(last: autogen.Agent, chat: autogen.GroupChat) -> autogen.Agent:
    """A call goes to an agent that can carry it out; otherwise the two take turns, and the planner begins."""
    agents = {agent.name: agent for agent in chat.agents}
    calls = chat.messages[-1].get("tool_calls")
    if calls:
        return agents["Planner" if calls[0]["function"]["name"] == "plan_workflow" else "Executor"]
    return agents["Planner" if last.name == "user_proxy" else "Executor"]


with tempfile.TemporaryDirectory() as folder, Act.embedded(f"{folder}/act.db") as act:
    planner = autogen.AssistantAgent(
        "Planner", system_message="You plan. Say what is to be executed.", llm_config=model()
    )
    executor = autogen.AssistantAgent(
        "Executor", system_message="You execute tasks, then say TERMINATE.", llm_config=model()
    )
    user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
    autogen.register_function(plan_workflow, caller=planner, executor=planner, description="Plan a workflow")
    autogen.register_function(execute_task, caller=executor, executor=executor, description="Execute a task")
    # The planner's model knows the executor's tool as well. Without ACT the executor would run it for the planner.
    planner.register_for_llm(name="execute_task", description="Execute a task")(execute_task)
    groupchat = autogen.GroupChat(
        [user_proxy, planner, executor], messages=[], max_round=12, speaker_selection_method=next_speaker
    )
    manager = autogen.GroupChatManager(
        groupchat, llm_config=False, is_termination_msg=lambda message: "TERMINATE" in str(message.get("content"))
    )
    if not LIVE:
        from act.demo.model import ScriptedModel

        planner.register_model_client(
            ScriptedModel, steps=[("execute_task", {"task_id": "42"}), "I may not. Executor, please."]
        )
        executor.register_model_client(ScriptedModel, steps=[("execute_task", {"task_id": "42"}), "TERMINATE"])

    guard = ActGuard(act, rights(act))  # 2.
    guard.protect(user_proxy, planner, executor)  # 3.

    user_proxy.initiate_chat(manager, message="Get task 42 of the release done.")
    print("\nWhat ACT was asked:")
    for entry in act.audit.list(kind="decision", order="asc"):
        asked = entry.record
        if asked["action"] != "message":
            print(f"  {asked['action']} {asked['resourceId']}: {asked['reasonCode']}")
