"""The chat client of one protected agent: a stand-in that puts the guard's middleware into every request.

Each tool call of an agent, however the tool came to it (the constructor, `run()`, options, a context provider, an MCP
server, a handoff builder), is executed by the tool loop of its chat client. So the guard stands there: it survives a
new `agent.middleware`, and the copies that builders make of an agent keep its client. One client may serve many agents;
each has a stand-in of its own, which is how a call is attributed to the agent that made it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from agent_framework import FunctionInvocationLayer, ResponseStream, normalize_tools

from act.integrations.agent_framework.calls import REQUEST, Gate, Seal, handoff_targets
from act.integrations.agent_framework.team import flat

if TYPE_CHECKING:
    from act.integrations.agent_framework.guard import ActGuard

_OWN = ("_act_client", "_act_guard", "_act_name", "_act_agent")


class GuardedClient:
    """Behaves as the client it stands for, also to `isinstance`, but for `get_response`.

    It is that of one agent: `agent` is its id, which copies of it share.
    """

    def __init__(self, client: Any, guard: ActGuard, name: str, agent: str) -> None:
        for key, value in zip(_OWN, (client, guard, name, agent), strict=True):
            object.__setattr__(self, key, value)

    def get_response(
        self,
        messages: Any,
        *,
        stream: bool = False,
        options: Mapping[str, Any] | None = None,
        middleware: Any = None,
        client_kwargs: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        """As the client's own. Raises `UnprotectedAgent` for tools that the guard could not see being used."""
        options, kwargs = dict(options or {}), dict(client_kwargs or {})
        if options.get("tools"):
            options["tools"] = normalize_tools(options["tools"])  # once: what is checked is what is used
            self._act_guard.check_tools(self._act_name, options["tools"])
        given = [*_as_list(kwargs.pop("middleware", None)), *_as_list(middleware)]
        # The loop hands these keywords to each of its calls, beside the middleware: so the gate knows its own request.
        request = object()
        more["function_invocation_kwargs"] = {**(more.get("function_invocation_kwargs") or {}), REQUEST: request}
        gate = Gate(self._act_guard, self._act_name, handoff_targets(given), request)
        # The gate first: what answers instead of a tool (a cache) is asked about too. The seal last: nothing behind it
        # changes what was decided. Handoffs do not come so far; they are carried out by middleware in between.
        kwargs["middleware"] = [gate, *given, Seal(self._act_guard, self._act_name)]
        ask = partial(self._act_client.get_response, stream=stream, options=options, client_kwargs=kwargs, **more)
        if not self._act_guard.screen.concerns(self._act_name, messages):
            return ask(messages)
        if stream:
            return ResponseStream.from_awaitable(self._act_screened(ask, messages, kwargs))
        return self._act_answered(ask, messages, kwargs)

    async def _act_screened(self, ask: Callable[..., Any], messages: Any, kwargs: Mapping[str, Any]) -> Any:
        session, conversation = kwargs.get("session"), None
        if session is not None and session.service_session_id is None:
            conversation = str(session.session_id)  # of a history that the provider keeps only what is new is shown
        return ask(await self._act_guard.screen.shown(self._act_name, conversation, messages))

    async def _act_answered(self, ask: Callable[..., Any], messages: Any, kwargs: Mapping[str, Any]) -> Any:
        return await (await self._act_screened(ask, messages, kwargs))

    async def __aenter__(self) -> GuardedClient:
        if hasattr(self._act_client, "__aenter__"):
            await self._act_client.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> Any:
        return await self._act_client.__aexit__(*fault) if hasattr(self._act_client, "__aexit__") else None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._act_client)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:  # not made yet: a copy in progress
            raise AttributeError(name)
        return getattr(self._act_client, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._act_client, name, value)

    def __copy__(self) -> GuardedClient:
        return GuardedClient(copy.copy(self._act_client), self._act_guard, self._act_name, self._act_agent)

    def __deepcopy__(self, memo: dict[int, Any]) -> GuardedClient:
        copied = copy.deepcopy(self._act_client, memo)
        return GuardedClient(copied, self._act_guard, self._act_name, self._act_agent)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("an agent under an ActGuard cannot be pickled; protect it where it is used")


def runs_tools(client: Any) -> bool:
    """Whether the client executes tools in the framework's own loop, where the guard can stand."""
    return isinstance(client, FunctionInvocationLayer)


def runs_tools_inside(client: Any) -> Any:
    """Another client in a client, whose loop would run tools without the middleware that the outer one is given."""
    client = bare(client)
    held = (one for value in getattr(client, "__dict__", {}).values() for one in flat(value))
    return next((one for one in held if runs_tools(one) and one is not client and _has_loop(one)), None)


def guard_of(client: Any) -> ActGuard | None:
    """The guard that a client stands under."""
    found: ActGuard | None = _own(client, "_act_guard")
    return found


def is_of(agent: Any) -> bool:
    """Whether the client of an agent is the stand-in that was made for it, or for what it is a copy of."""
    return bool(_own(agent.client, "_act_agent") == agent.id)


def bare(client: Any) -> Any:
    """The client itself."""
    return _own(client, "_act_client") if type(client) is GuardedClient else client


def _has_loop(client: Any) -> bool:
    return bool(getattr(client, "function_invocation_configuration", {}).get("enabled", True))


def _own(client: Any, name: str) -> Any:
    return object.__getattribute__(client, name) if type(client) is GuardedClient else None


def _as_list(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
