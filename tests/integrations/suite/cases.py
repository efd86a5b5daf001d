"""What every integration must do, written once. A case sets up agents, runs a team, and looks at what became of it.

Run by `runner.py`, one process for all cases of a framework; an assertion that fails is its answer.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model
from tests.integrations.suite.hostile import KINDS, is_all_of, told
from tests.integrations.suite.job import Call, Driver, Job, Script, Turn
from tests.integrations.suite.world import Agent, Asked, Station, Watched
from tests.support import ADMIN_KEY

from act import Act, ApprovalPending
from act.integrations import ToolSpec, act_tool

TASK = Call("execute_task", {"task_id": "t-1", "amount": 5})
READ = Call("read_page", {"page": "forum"})
TOOLS = {
    "execute_task": ToolSpec("execute", "api://tasks/execute/{task_id}", labels=[]),
    "read_page": ToolSpec("read", "web://{page}", labels=["untrusted"]),
}


class ToolBroke(RuntimeError):
    """What a tool raises."""


@dataclass
class Observed:
    """What became of one run."""

    script: Script
    ran: list[tuple[str, dict[str, Any]]]
    act: Watched | None
    guard: Any
    raised: BaseException | None

    @property
    def results(self) -> list[str]:
        """The texts of the tool results that the model was shown."""
        return self.script.results

    @property
    def seen(self) -> str:
        return "\n".join(self.results)

    @property
    def asked(self) -> list[Asked]:
        return self.act.calls if self.act else []

    @property
    def outcomes(self) -> list[str]:
        return [status for status, _ in self.act.outcomes] if self.act else []

    def ended_well(self) -> Observed:
        """The team came to its end: the model read the last result and was not disturbed by an exception."""
        assert self.raised is None, repr(self.raised)
        assert self.script.finished, f"the model was asked {self.script.asked} times"
        return self

    def denied(self, code: str) -> Observed:
        """Nothing ran, and the model read why."""
        self.ended_well()
        assert self.ran == [], self.ran
        assert f"ACT denied: {code}: " in self.seen, self.results
        return self


@dataclass
class Table:
    """Where a case plays: one driver, one mode, one node of ACT."""

    driver: Driver
    asynchronous: bool
    station: Station
    folder: Path
    plain: bool = False
    during: Callable[[], object] | None = None
    """What happens inside of a tool, each time that it runs."""
    job: Job | None = None
    marked: bool = False
    ran: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def agent(self) -> Agent:
        return Agent(self.station)

    def run(
        self,
        *turns: Turn | Call | Sequence[Call],
        tokens: Any = None,
        act: Watched | None = None,
        guarded: bool = True,
        two: bool = False,
        functions: Sequence[Callable[..., Any]] | None = None,
        **options: Any,
    ) -> Observed:
        """One run of a team whose model says `turns`. `tokens` is a mapping, or the token of the asker."""
        self.ran = []
        script = Script([_turn(turn) for turn in turns])
        tokens = {"Planner": tokens} if isinstance(tokens, str) else (tokens or {})
        watched = (act or Watched(self.station.act)) if guarded else None
        defaults = {} if self.marked else {"tools": TOOLS}
        self.job = Job(
            script=script,
            tools=self._tools() if functions is None else functions,
            asynchronous=self.asynchronous,
            two=two,
            act=watched,
            tokens=tokens,
            options={**defaults, **options},
        )
        raised: BaseException | None = None
        try:
            self.driver.run(self.job)
        except BaseException as fault:  # what a cancelled run raises is no Exception
            raised = fault
        return Observed(script, self.ran, watched, self.job.made, raised)

    def guard(self, **options: Any) -> Any:
        """A guard without a team."""
        return self.driver.guard_class(Watched(self.station.act), {}, **options)

    def cancel(self) -> None:
        assert self.job is not None
        self.job.cancel()

    def _tools(self) -> list[Callable[..., Any]]:
        def execute_task(task_id: str, amount: int = 0) -> str:
            """Execute a task."""
            self._happens("execute_task", {"task_id": task_id, "amount": amount})
            return f"done {task_id}"

        def read_page(page: str) -> str:
            """Read a page."""
            self._happens("read_page", {"page": page})
            return f"text of {page}"

        async def a_execute_task(task_id: str, amount: int = 0) -> str:
            """Execute a task."""
            await self._a_happens("execute_task", {"task_id": task_id, "amount": amount})
            return f"done {task_id}"

        async def a_read_page(page: str) -> str:
            """Read a page."""
            await self._a_happens("read_page", {"page": page})
            return f"text of {page}"

        a_execute_task.__name__, a_read_page.__name__ = "execute_task", "read_page"
        coroutines = self.asynchronous and not self.plain
        tools: list[Callable[..., Any]] = [a_execute_task, a_read_page] if coroutines else [execute_task, read_page]
        if self.marked:
            return [
                act_tool(action=spec.action, resource=spec.resource, labels=spec.labels)(tool)
                for tool, spec in zip(tools, TOOLS.values(), strict=True)
            ]
        return tools

    def taking(self, kind: Any) -> Callable[..., Any]:
        """The tool `keep`, whose argument is of this type."""

        def keep(value: Any) -> str:
            self.ran.append(("keep", {"value": told(value)}))
            return "kept"

        keep.__annotations__ = {"value": kind, "return": str}
        return keep

    def _happens(self, name: str, arguments: dict[str, Any]) -> None:
        self.ran.append((name, arguments))
        if self.during is not None:
            self.during()

    async def _a_happens(self, name: str, arguments: dict[str, Any]) -> None:
        self.ran.append((name, arguments))
        if self.during is not None:
            done = self.during()
            if asyncio.iscoroutine(done):
                await done


def _turn(given: Turn | Call | Sequence[Call]) -> Turn:
    if isinstance(given, Turn):
        return given
    return Turn((given,) if isinstance(given, Call) else tuple(given))


@dataclass(frozen=True)
class Case:
    name: str
    play: Callable[[Table], None]
    modes: tuple[str, ...] = ("sync", "async")
    two: bool = False


CASES: dict[str, Case] = {}


def case(*, modes: tuple[str, ...] = ("sync", "async"), two: bool = False) -> Callable[[Callable[[Table], None]], Any]:
    def keep(play: Callable[[Table], None]) -> Callable[[Table], None]:
        CASES[play.__name__] = Case(play.__name__, play, modes, two)
        return play

    return keep


def _executor(table: Table) -> Agent:
    return table.agent().may("execute", "api://tasks/**")


# --- what is asked, and what an answer does ---------------------------------------------------------------------------


@case()
def allowed(table: Table) -> None:
    agent = _executor(table)
    got = table.run(TASK, tokens=agent.token()).ended_well()
    assert got.ran == [("execute_task", {"task_id": "t-1", "amount": 5})], got.ran
    assert "done t-1" in got.seen, got.results
    (asked,) = got.asked
    assert (asked.agent, asked.requester) == (agent.id, agent.id), asked
    assert (asked.action, asked.resource) == ("execute", "api://tasks/execute/t-1"), asked
    assert dict(asked.arguments) == {"task_id": "t-1", "amount": 5}, asked
    assert not asked.dry_run
    assert asked.context["requester"] == "Planner", asked
    assert asked.context["framework"] == table.driver.guard_class.framework, asked
    assert asked.context["executor"], asked
    assert asked.context["conversationId"], asked
    assert got.outcomes == ["succeeded"], got.outcomes


@case()
def a_plain_function_is_guarded_like_a_coroutine_function(table: Table) -> None:
    table.plain = True
    agent = _executor(table)
    assert table.run(TASK, tokens=agent.token()).ended_well().outcomes == ["succeeded"]
    table.run(TASK, tokens=table.agent().token()).denied("no_matching_policy")


@case()
def without_a_guard_the_tool_runs(table: Table) -> None:
    got = table.run(TASK, guarded=False).ended_well()
    assert len(got.ran) == 1, got.ran


@case()
def denied_is_a_result_that_the_model_reads(table: Table) -> None:
    got = table.run(TASK, tokens=table.agent().token()).denied("no_matching_policy")
    assert len(got.asked) == 1, got.asked
    assert got.outcomes == []


@case()
def each_call_of_a_message_is_decided_for_itself(table: Table) -> None:
    agent = table.agent().may("execute", "api://tasks/execute/yes-*")
    calls = [Call("execute_task", {"task_id": name}) for name in ("yes-1", "no-1", "yes-2")]
    got = table.run(calls, tokens=agent.token()).ended_well()
    assert sorted(arguments["task_id"] for _, arguments in got.ran) == ["yes-1", "yes-2"], got.ran
    assert [("ACT denied" in text) for text in got.results] == [False, True, False], got.results
    assert got.outcomes == ["succeeded", "succeeded"], got.outcomes


@case()
def without_a_mapping_a_tool_is_called_by_its_name(table: Table) -> None:
    got = table.run(TASK, tokens=table.agent().may("call", "tool://execute_task").token(), tools={}).ended_well()
    assert len(got.ran) == 1, got.ran
    assert (got.asked[0].action, got.asked[0].resource) == ("call", "tool://execute_task"), got.asked


@case()
def the_mark_on_a_function_counts(table: Table) -> None:
    table.marked = True
    got = table.run(TASK, tokens=_executor(table).token()).ended_well()
    assert len(got.ran) == 1, got.ran
    assert got.asked[0].resource == "api://tasks/execute/t-1", got.asked


@case()
def a_mapping_file_counts(table: Table) -> None:
    file = table.folder / "tools.yaml"
    file.write_text(
        "tools:\n  execute_task: {action: execute, resource: 'api://tasks/execute/{task_id}', labels: []}\n"
    )
    got = table.run(TASK, tokens=_executor(table).token(), tools={}, mapping=file).ended_well()
    assert got.asked[0].resource == "api://tasks/execute/t-1", got.asked
    assert got.act is not None
    assert [list(labels or ()) for _, labels in got.act.outcomes] == [[]], got.act.outcomes


@case()
def a_token_that_a_guard_holds_proves_itself(table: Table) -> None:
    agent = _executor(table)
    holder = table.station.act.guard_for(agent.id)
    assert table.run(TASK, tokens={"Planner": holder}).ended_well().outcomes == ["succeeded"]
    stolen = str(holder.held().token)
    table.run(TASK, tokens=stolen).denied("proof_required")


# --- a person has to approve ------------------------------------------------------------------------------------------


def _payer(table: Table) -> Agent:
    return table.agent().may("execute", "api://tasks/**", constraints={"requires_approval": True})


@case()
def pending_then_approved(table: Table) -> None:
    agent = _payer(table)
    again = Turn((TASK,), before=lambda: agent.settle(approve=True))
    got = table.run(TASK, again, tokens=agent.token()).ended_well()
    assert len(got.ran) == 1, got.ran
    assert "ACT denied: approval_required: " in got.results[0], got.results
    assert "Approval apr_" in got.results[0], got.results
    assert "done t-1" in got.results[1], got.results
    assert got.outcomes == ["succeeded"], got.outcomes


@case()
def pending_then_rejected(table: Table) -> None:
    agent = _payer(table)
    again = Turn((TASK,), before=lambda: agent.settle(approve=False))
    table.run(TASK, again, tokens=agent.token()).denied("approval_rejected")
    assert "not on a Friday" in table.job.script.results[-1]  # type: ignore[union-attr]


@case()
def pending_is_waited_for(table: Table) -> None:
    agent = _payer(table)
    person = agent.settle_soon(approve=True)
    got = table.run(TASK, tokens=agent.token(), on_pending="wait", approval_timeout=30).ended_well()
    person.join()
    assert len(got.ran) == 1, got.ran
    assert "done t-1" in got.seen, got.results
    assert got.outcomes == ["succeeded"], got.outcomes


@case()
def pending_is_waited_for_and_rejected(table: Table) -> None:
    agent = _payer(table)
    person = agent.settle_soon(approve=False)
    got = table.run(TASK, tokens=agent.token(), on_pending="wait", approval_timeout=30)
    person.join()
    got.denied("approval_rejected")
    assert "not on a Friday" in got.seen, got.results


@case()
def pending_is_raised(table: Table) -> None:
    agent = _payer(table)
    got = table.run(TASK, TASK, tokens=agent.token(), on_pending="raise")
    assert got.ran == [], got.ran
    assert isinstance(got.raised, ApprovalPending), repr(got.raised)
    assert len(got.asked) == 1, got.asked


# --- rights that end while the team works -----------------------------------------------------------------------------


@case()
def revoked_in_the_middle_of_a_run(table: Table) -> None:
    agent = _executor(table)
    revoke = Turn((TASK,), before=lambda: table.station.act.agents.revoke_tokens(agent.id))
    got = table.run(TASK, revoke, tokens=agent.token()).ended_well()
    assert len(got.ran) == 1, got.ran
    assert "ACT denied: token_revoked: " in got.results[1], got.results


@case()
def expired_and_refreshed_in_the_middle_of_a_run(table: Table) -> None:
    station = Station(table.folder / "clock")
    table.station, ours = station, table.station
    try:
        agent = _executor(table)
        tokens = {"Planner": agent.token(expires_in=60)}
        got = table.run(
            TASK,
            Turn((TASK,), before=lambda: station.clock.move(61)),
            Turn((TASK,), before=lambda: tokens.update(Planner=agent.token())),
            tokens=tokens,
        ).ended_well()
    finally:
        table.station = ours
        station.close()
    assert len(got.ran) == 2, got.ran
    assert "ACT denied: token_expired: " in got.results[1], got.results
    assert "done t-1" in got.results[2], got.results


# --- who asks ---------------------------------------------------------------------------------------------------------


@case()
def an_agent_without_a_token_may_only_speak(table: Table) -> None:
    got = table.run(TASK, tokens={"Somebody": _executor(table).token()}).denied("no_token")
    assert got.asked == [], got.asked


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is warned about, filled at the end."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(warning.message) for warning in caught]


@case()
def a_misspelt_name_is_told(table: Table) -> None:
    token = _executor(table).token()
    with _warnings() as said:
        got = table.run(TASK, tokens={"Planer": token}).denied("no_token")
    assert any("'Planner' has no token, and no agent so far is called 'Planer'" in text for text in said), said
    assert "'Planer'" in got.seen, got.results
    assert got.asked == [], got.asked
    assert token not in got.seen + "".join(said)


@case()
def a_name_like_another_is_a_person_where_it_is_said_so(table: Table) -> None:
    with _warnings() as said:
        got = table.run(TASK, tokens={"Planer": _executor(table).token(), "Planner": None}).denied("no_token")
    assert "it may only speak" in got.seen, got.results
    assert [text for text in said if "Planer" in text] == []


@case(two=True)
def an_executor_whose_name_is_misspelt_carries_out_nothing(table: Table) -> None:
    planner = _executor(table).token()
    got = table.run(TASK, tokens={"Planner": planner}, two=True).ended_well()
    assert len(got.ran) == 1, "the control: an executor without rights of its own acts with those of who asks"
    with _warnings() as said:
        got = table.run(TASK, tokens={"Planner": planner, "executer": table.agent().token()}, two=True)
    got.denied("no_token")
    assert any("'Executor' has no token" in text for text in said), said
    assert "'executer'" in got.seen, got.results


@case()
def an_empty_token_is_none_that_is_good(table: Table) -> None:
    table.run(TASK, tokens="").denied("token_malformed")


@case()
def what_is_no_token_is_denied(table: Table) -> None:
    table.run(TASK, tokens="rubbish").denied("token_malformed")


@case(two=True)
def the_executor_lends_nobody_its_rights(table: Table) -> None:
    executor, planner = _executor(table), table.agent()
    tokens = {"Executor": executor.token(), "Planner": planner.token()}
    got = table.run(TASK, guarded=False, two=True)
    assert len(got.ran) == 1, "the control: this is the attack that the guard stops"
    got = table.run(TASK, tokens=tokens, two=True).denied("requester_not_permitted")
    (asked,) = got.asked
    assert (asked.agent, asked.requester) == (executor.id, planner.id), asked
    assert (asked.context["executor"], asked.context["requester"]) == ("Executor", "Planner"), asked


@case(two=True)
def the_executor_works_for_who_is_permitted(table: Table) -> None:
    executor, planner = _executor(table), _executor(table)
    got = table.run(TASK, tokens={"Executor": executor.token(), "Planner": planner.token()}, two=True).ended_well()
    assert len(got.ran) == 1, got.ran
    assert (got.asked[0].agent, got.asked[0].requester) == (executor.id, planner.id), got.asked


@case(two=True)
def the_executor_works_for_nobody_whose_token_was_revoked(table: Table) -> None:
    executor, planner = _executor(table), _executor(table)
    tokens = {"Executor": executor.token(), "Planner": planner.token()}
    table.station.act.agents.revoke_tokens(planner.id)
    got = table.run(TASK, tokens=tokens, two=True)
    assert got.ran == [], got.ran
    assert "ACT denied: " in got.seen, got.results


# --- when things go wrong ---------------------------------------------------------------------------------------------


@contextmanager
def _unreachable() -> Iterator[Act]:
    with socket.socket() as taken:  # a port at which nobody listens, and which nobody else gets meanwhile
        taken.bind(("127.0.0.1", 0))
        with Act(f"http://127.0.0.1:{taken.getsockname()[1]}", ADMIN_KEY, timeout=20, retries=0) as act:
            yield act


@case()
def unreachable(table: Table) -> None:
    token = _executor(table).token()
    with _unreachable() as act:
        got = table.run(TASK, tokens=token, act=Watched(act))
    assert got.ran == [], got.ran
    if got.raised is None:
        got.denied("unreachable")


@case()
def a_call_that_names_no_resource(table: Table) -> None:
    agent = table.agent().may("*", "*")
    for arguments in (
        {},
        {"task_id": None},
        {"task_id": True},
        {"task_id": ["t"]},
        {"task_id": {"a": 1}},
        {"task_id": ""},
    ):
        got = table.run(Call("execute_task", arguments), tokens=agent.token())
        assert got.ran == [], (arguments, got.ran)
        assert got.asked == [], (arguments, got.asked)
        assert got.raised is None, (arguments, repr(got.raised))
        assert got.seen, arguments


@case()
def arguments_that_are_no_plain_json(table: Table) -> None:
    agent = table.agent().may("*", "*")
    deep = "[" * 5000 + "]" * 5000
    for raw in (
        "{",
        "[]",
        '"t-1"',
        "null",
        '{"task_id": "t", "amount": NaN}',
        '{"task_id": "t", "amount": 1e999}',
        '{"task_id": "\\ud800"}',
        '{"task_id": "t", "amount": 123456789012345678901234567890}',
        f'{{"task_id": "t", "amount": {deep}}}',
    ):
        got = table.run(Call("execute_task", raw), tokens=agent.token())
        assert got.ran == [], (raw[:60], got.ran)


@case()
def what_is_decided_is_what_runs(table: Table) -> None:
    agent = table.agent().may("*", "*")
    twice = '{"task_id": "first",\n "task_id": "second", "amount": 3}'
    got = table.run(Call("execute_task", twice), tokens=agent.token())
    assert [arguments["task_id"] for _, arguments in got.ran] == [a.arguments["task_id"] for a in got.asked], got.ran


def _inside(kind: Any) -> Any:
    return create_model("Inside", it=(kind, ...))


@case(modes=("sync",))
def what_a_function_gets_is_what_was_decided(table: Table) -> None:
    """Whatever the types of its arguments make of them; or the call is denied."""
    token, kept = table.agent().may("call", "tool://keep").token(), set()
    for kind, inside in [(kind, inside) for kind in KINDS for inside in (False, True)]:
        of_type = kind.make()
        tool = table.taking(_inside(of_type) if inside else of_type)
        call = Call("keep", {"value": {"it": kind.written} if inside else kind.written})
        got = table.run(call, tokens=token, functions=[tool])
        if not got.ran:  # some types are none that the framework has tools with
            refused = got.raised is not None and not got.asked
            assert refused or "ACT denied: action_malformed: " in got.seen, (kind.name, inside, got.results, got.raised)
            continue
        assert len(got.ran) == len(got.asked) == 1, (kind.name, inside, got.ran, got.asked)
        value, asked = got.ran[0][1]["value"], told(got.asked[0].arguments["value"])
        assert is_all_of(asked, value), (kind.name, inside, asked, value)
        kept.add(kind.name)
    assert kept >= {"aliased", "decimal", "enum", "flag", "id", "made", "moment", "path", "point", "set", "typed"}, kept


@case()
def a_value_cannot_leave_its_place_in_the_resource(table: Table) -> None:
    agent = table.agent().may("execute", "api://tasks/execute/*").may("execute", "api://payments/**")
    for value in ("../../payments/1", "..", "a/b", "a%2Fb", "a?b", "a#b", "a\\b"):
        got = table.run(Call("execute_task", {"task_id": value}), tokens=agent.token()).denied("resource_malformed")
        assert got.asked == [], got.asked
    got = table.run(Call("execute_task", {"task_id": "a b@c"}), tokens=agent.token()).ended_well()
    assert [asked.resource for asked in got.asked] == ["api://tasks/execute/a%20b@c"], got.asked


@case()
def a_tool_that_is_not_there(table: Table) -> None:
    agent = table.agent().may("*", "*")
    for name in ("no_such_tool", "execute_task ", "Execute_Task"):
        got = table.run(Call(name, {"task_id": "t-1"}), tokens=agent.token())
        assert got.ran == [], (name, got.ran)


# --- outcomes ---------------------------------------------------------------------------------------------------------


@case()
def a_call_that_fails_is_reported_so(table: Table) -> None:
    def breaks() -> None:
        raise ToolBroke("broken tool")

    table.during = breaks
    agent = _executor(table)
    got = table.run(TASK, tokens=agent.token())
    assert got.outcomes == ["failed"], got.outcomes
    assert got.raised is None or isinstance(got.raised, ToolBroke), repr(got.raised)


@case(modes=("async",))
def a_call_that_is_cancelled_is_reported_so(table: Table) -> None:
    async def hangs() -> None:
        table.cancel()
        await asyncio.sleep(3600)

    table.during = hangs
    agent = table.agent().may("execute", "api://tasks/**", constraints={"max_concurrent_tasks": 1})
    got = table.run(TASK, tokens=agent.token())
    assert got.outcomes == ["cancelled"], got.outcomes
    assert len(got.ran) == 1, got.ran
    table.during = None
    assert table.run(TASK, tokens=agent.token()).ended_well().outcomes == ["succeeded"]


@case()
def the_place_of_a_call_is_given_back(table: Table) -> None:
    agent = table.agent().may("execute", "api://tasks/**", constraints={"max_concurrent_tasks": 1})
    got = table.run(TASK, TASK, tokens=agent.token()).ended_well()
    assert len(got.ran) == 2, got.results

    def breaks() -> None:
        raise ToolBroke("broken tool")

    table.during = breaks
    table.run(TASK, tokens=agent.token())
    table.during = None
    assert table.run(TASK, tokens=agent.token()).ended_well().outcomes == ["succeeded"]


@case()
def what_was_read_counts_for_what_comes_next(table: Table) -> None:
    agent = _executor(table).may("read", "web://*")
    agent.may("execute", "*", effect="deny", when="'untrusted' in session.labels")
    got = table.run(TASK, READ, TASK, tokens=agent.token()).ended_well()
    assert [name for name, _ in got.ran] == ["execute_task", "read_page"], got.ran
    assert "text of forum" in got.results[1], got.results
    assert "ACT denied: policy_denied: " in got.results[2], got.results


@case()
def what_was_read_and_cannot_be_reported_is_withheld(table: Table) -> None:
    agent = _executor(table).may("read", "web://*")
    got = table.run(READ, tokens=agent.token(), act=Watched(table.station.act, reports=False))
    assert len(got.ran) == 1, got.ran
    assert "text of forum" not in got.seen, got.results
    assert "ACT withheld the result" in got.seen + repr(got.raised), (got.results, got.raised)
    got = table.run(TASK, tokens=agent.token(), act=Watched(table.station.act, reports=False)).ended_well()
    assert "done t-1" in got.seen, got.results


# --- observing --------------------------------------------------------------------------------------------------------


@case()
def observing_blocks_nothing(table: Table) -> None:
    agent = table.agent().may("read", "web://*")
    got = table.run(TASK, READ, TASK, tokens=agent.token(), mode="observe").ended_well()
    assert [name for name, _ in got.ran] == ["execute_task", "read_page", "execute_task"], got.ran
    assert all(asked.dry_run for asked in got.asked), got.asked
    assert got.outcomes == [], got.outcomes
    denied = [
        (seen.resource, seen.code.value, count) for seen, count in got.guard.report().denied if seen.action == "execute"
    ]
    assert denied == [("api://tasks/execute/t-1", "no_matching_policy", 2)], str(got.guard.report())
    assert "api://tasks/execute/t-1: no_matching_policy" in str(got.guard.report())


@case()
def observing_asks_nobody_to_approve(table: Table) -> None:
    agent = _payer(table)
    got = table.run(TASK, tokens=agent.token(), mode="observe", on_pending="wait").ended_well()
    assert len(got.ran) == 1, got.ran
    assert agent.waiting() == []
    assert [seen.verdict for seen, _ in got.guard.report().denied if seen.action == "execute"] == ["pending_approval"]


@case()
def observing_blocks_nothing_in_any_doubt(table: Table) -> None:
    token = table.agent().token()
    with _unreachable() as act:
        assert len(table.run(TASK, tokens=token, mode="observe", act=Watched(act)).ended_well().ran) == 1
    for code, tokens in (("no_token", {}), ("token_malformed", {"Planner": "rubbish"})):
        got = table.run(TASK, tokens=tokens, mode="observe").ended_well()
        assert len(got.ran) == 1, (tokens, got.ran)
        assert code in [seen.code.value for seen, _ in got.guard.report().denied], str(got.guard.report())
    got = table.run(Call("execute_task", {"task_id": ""}), tokens=token, mode="observe").ended_well()
    assert len(got.ran) == 1, got.ran
    assert "resource_malformed" in [seen.code.value for seen, _ in got.guard.report().denied]


# --- how the guard is made --------------------------------------------------------------------------------------------


@case(modes=("sync",))
def a_stranger_is_refused(table: Table) -> None:
    for stranger in (None, "Planner", object(), len, *table.driver.strangers()):
        with pytest.raises(TypeError) as refusal:
            table.guard().protect(stranger)
        for word in table.driver.supported:
            assert word in str(refusal.value), refusal.value


@case(modes=("sync",))
def options_that_are_not_known_are_refused(table: Table) -> None:
    for options in (
        {"mode": "off"},
        {"on_pending": "allow"},
        {"messages": "no"},
        {"mapping": table.folder / "none.yaml"},
    ):
        with pytest.raises((ValueError, OSError)):
            table.guard(**options)
