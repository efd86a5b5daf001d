"""Which agents can act for a protected one: found, and refused when they are not under the guard.

An agent that was forgotten is a hole that nobody sees, so it is looked for when agents are given to the guard and again
before each reply, because nested chats and members of a group can be added later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autogen import ConversableAgent, GroupChat, GroupChatManager

from act.integrations.autogen.requester import QUOTED
from act.integrations.behind import agents_behind

Agent = Any

_TEAM = (ConversableAgent, GroupChat)
_ENGINES = frozenset(
    {"CaptainUserProxyAgent", "ConversableAdapter", "LLamaIndexConversableAgent", "MathUserProxyAgent"}
)
"""Agents of AutoGen that run tools or code by themselves, or agents that they have made, while they reply."""


def given_agents(targets: Iterable[Any]) -> list[Agent]:
    """The agents that `protect` was given: agents, managers, and the members of group chats and of patterns.

    A manager stands for itself only; its members are named beside it. Raises `TypeError` for anything else.
    """
    found: list[Agent] = []
    for target in targets:
        if isinstance(target, GroupChat):
            found += target.agents
        elif isinstance(target, ConversableAgent):
            found.append(target)
        elif hasattr(target, "prepare_group_chat") and isinstance(getattr(target, "agents", None), list):
            user = getattr(target, "user_agent", None)
            found += [*target.agents, *([user] if user is not None else [])]
        else:
            kind = target.__name__ if isinstance(target, type) else type(target).__name__
            raise TypeError(
                "ActGuard.protect takes AutoGen agents (ConversableAgent), group chats (GroupChat), managers "
                f"(GroupChatManager) and patterns (Pattern), not {kind}"
            )
    return list({id(agent): agent for agent in found}.values())


# Set by AutoGen or the guard, and pointing outwards: the executor of `run()` is adopted, the others are peers.
_OUTWARD = frozenset({"run_executor", "_group_manager", "_last_speaker", QUOTED})


def inner_agents(agent: Agent) -> Iterator[Agent]:
    """The agents that act inside `agent`: members it manages, those of its nested chats, of itself and of tools.

    Its own are found as attributes, as AutoGen's composite agents (CaptainAgent, DocAgent) have them, those of tools as
    what the functions know. Both count when they can do more than speak.
    """
    if isinstance(agent, GroupChatManager):
        yield from agent.groupchat.agents
    for registered in agent._reply_func_list:
        for chat in _chat_queue(registered["reply_func"]):
            for end in (chat.get("sender"), chat.get("recipient")):
                if isinstance(end, ConversableAgent) and end is not agent:
                    yield end
                    if isinstance(end, GroupChatManager):
                        yield from end.groupchat.agents
    inner_group = getattr(agent, "_group_chat_config", None)  # AutoGen's wrapper around a handoff to a group chat
    if inner_group is not None:
        yield from given_agents([inner_group.pattern])
    for held in (*_kept(agent), *_behind_tools(agent)):
        for inner in _members(held):
            if inner is not agent and (can_act(inner) or getattr(inner, "_tools", None)):
                yield inner


def _kept(agent: Agent) -> Iterator[Any]:
    for name, value in list(vars(agent).items()):
        if name not in _OUTWARD:
            if isinstance(value, Mapping):
                yield from list(value.values())
            elif isinstance(value, list | tuple):
                yield from value
            else:
                yield value


def _behind_tools(agent: Agent) -> Iterator[Any]:
    tools = [getattr(tool, "func", None) for tool in getattr(agent, "_tools", ())]
    for function in (*agent._function_map.values(), *tools):
        yield from agents_behind(function, lambda thing: isinstance(thing, _TEAM))


def _members(held: Any) -> Iterator[Agent]:
    """The agents that a value of an attribute stands for: itself, or the members of a group."""
    if isinstance(held, GroupChat):
        yield from held.agents
    elif isinstance(held, ConversableAgent):
        yield held
        if isinstance(held, GroupChatManager):
            yield from held.groupchat.agents


def built_in_tools(agent: Agent) -> list[str]:
    """Tools that run inside of the agent's model client or at its provider (`shell`, `apply_patch`, `web_search`).

    AutoGen 0.14 executes the first two within the request to the model, also when the message of another agent has the
    call; no function of the agent is ever asked.
    """
    config = getattr(agent, "llm_config", None)
    entries = config.get("config_list") if isinstance(config, Mapping) else getattr(config, "config_list", None)
    found = [config, *(entries or [])]
    tools = [
        entry.get("built_in_tools") if isinstance(entry, Mapping) else getattr(entry, "built_in_tools", None)
        for entry in found
    ]
    return sorted({str(tool) for names in tools for tool in names or ()})


def engine(agent: Agent) -> str | None:
    """The class of AutoGen by which an agent acts on its own, past its functions and its code executor."""
    kinds = (kind for kind in type(agent).__mro__ if kind.__module__.partition(".")[0] == "autogen")
    return next((kind.__name__ for kind in kinds if kind.__name__ in _ENGINES), None)


def can_act(agent: Agent) -> bool:
    """Whether an agent can itself do more than speak: run tools or code."""
    if not isinstance(agent, ConversableAgent) or engine(agent):
        return True
    return bool(agent._function_map or agent._code_execution_config is not False or built_in_tools(agent))


def _chat_queue(reply_func: Any) -> list[dict[str, Any]]:
    """The nested chats behind a reply function: `register_nested_chats` keeps them in the closure it registers."""
    code, cells = getattr(reply_func, "__code__", None), getattr(reply_func, "__closure__", None)
    if code is None or cells is None or "chat_queue" not in code.co_freevars:
        return []
    queue = cells[code.co_freevars.index("chat_queue")].cell_contents
    return [chat for chat in queue if isinstance(chat, dict)] if isinstance(queue, list) else []
