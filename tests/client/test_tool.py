"""A guarded function runs when it may, with what was asked for, and says what became of it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, get_type_hints

import pytest

from act import Act, ApprovalPending, AsyncAct, AsyncGuard, Guard, PermissionDenied, ReasonCode, Verdict, tool
from act.client.bearer import Bearer
from act.client.deciding import Deciding
from act.testing import FakeAct

from .wire import KEY, PENDING, Server, allow, approval, decide, problem


class Instant(Bearer):
    """Allows everything without waiting for anything."""

    def __init__(self) -> None:
        super().__init__("t", 0)
        self.reported: list[str] = []

    def acheck(self, action: str, resource: str, **ask: Any) -> Deciding:
        async def work() -> Any:
            return FakeAct(allow=[("*", "*")]).enforce("t", action, resource)

        return Deciding(work())

    async def areport(self, decision: Any, status: Any, labels: Any = None, created: Any = None) -> Any:
        self.reported.append(status)

    async def _approval(self, id: str, wait: int) -> Any:
        raise NotImplementedError


TEMPLATE = "api://tasks/execute/{task_id}"


@pytest.fixture
def fake() -> FakeAct:
    return FakeAct(allow=[("execute", "api://tasks/execute/*")])


class TestAsking:
    def test_resource_and_arguments(self, fake: FakeAct) -> None:
        @fake.guard().tool("execute", TEMPLATE)
        def run(task_id: str, *, amount: int = 5) -> str:
            return f"{task_id}:{amount}"

        assert run("7") == "7:5"
        assert run(task_id="8", amount=6) == "8:6"
        assert [(q.resource, q.arguments) for q in fake.asked] == [
            ("api://tasks/execute/7", {"task_id": "7", "amount": 5}),
            ("api://tasks/execute/8", {"task_id": "8", "amount": 6}),
        ]
        assert [status for _, status in fake.outcomes] == ["succeeded", "succeeded"]

    @pytest.mark.parametrize(
        ("value", "segment"),
        [(12, "12"), ("*", "*"), ("a@b.c:d", "a@b.c:d"), ("é b", "%C3%A9%20b")],
    )
    def test_values_cannot_reach_beyond_their_place(self, fake: FakeAct, value: Any, segment: str) -> None:
        fake.guard().tool(resource=TEMPLATE)(lambda task_id: None)(value)
        assert fake.asked[0].resource == f"api://tasks/execute/{segment}"

    @pytest.mark.parametrize("value", [None, "", True, 1.5, ["a"], {"a": 1}, "a/../b", "a?b", "a#b", "50%", ".", ".."])
    def test_a_value_that_names_nothing_is_a_denial(self, fake: FakeAct, value: Any) -> None:
        ran = []
        guarded = fake.guard().tool(resource=TEMPLATE)(lambda task_id=None: ran.append(task_id))
        with pytest.raises(PermissionDenied) as caught:
            guarded(value)
        assert caught.value.decision.reason_code is ReasonCode.RESOURCE_MALFORMED
        assert not ran
        assert not fake.asked

    @pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"x", 2**60])
    def test_arguments_that_are_not_json_are_a_denial(self, fake: FakeAct, value: Any) -> None:
        ran = []
        guarded = fake.guard().tool(resource=TEMPLATE)(lambda task_id, x: ran.append(x))
        with pytest.raises(PermissionDenied, match="/x"):
            guarded("1", value)
        assert not ran

    def test_a_call_that_does_not_fit(self, fake: FakeAct) -> None:
        guarded = fake.guard().tool(resource=TEMPLATE)(lambda task_id: None)
        with pytest.raises(TypeError):
            guarded()  # type: ignore[call-arg]
        assert not fake.asked

    def test_variadic_arguments_are_asked_for(self, fake: FakeAct) -> None:
        fake.guard().tool(resource="api://tasks/execute/all")(lambda *ids, **more: None)("a", "b", x=1)
        assert fake.asked[0].arguments == {"ids": ("a", "b"), "more": {"x": 1}}

    def test_the_object_of_a_method_is_no_argument(self, fake: FakeAct) -> None:
        class Worker:
            @fake.guard().tool(resource=TEMPLATE)
            def run(self, task_id: str) -> tuple[Any, str]:
                return self, task_id

        worker = Worker()
        assert worker.run("1") == (worker, "1")
        assert fake.asked[0].arguments == {"task_id": "1"}

    def test_arguments_that_change_meanwhile_do_not_run(self, fake: FakeAct) -> None:
        ran, recipients = [], ["alice"]

        class Slow(FakeAct):
            def enforce(self, *args: Any, **kwargs: Any) -> Any:
                decision = super().enforce(*args, **kwargs)
                recipients.append("mallory")
                return decision

        slow = Slow(allow=[("*", "*")])
        guarded = slow.guard().tool(resource="mail://out")(lambda to: ran.append(to))
        with pytest.raises(PermissionDenied, match="changed"):
            guarded(recipients)
        assert not ran
        assert [status for _, status in slow.outcomes] == ["cancelled"]


class TestDenied:
    def test_denied(self, fake: FakeAct) -> None:
        ran = []
        guarded = fake.guard().tool("delete", TEMPLATE)(lambda task_id: ran.append(task_id))
        with pytest.raises(PermissionDenied) as caught:
            guarded("1")
        assert caught.value.decision.reason_code is ReasonCode.NO_MATCHING_POLICY
        assert "no_matching_policy" in str(caught.value)
        assert not ran
        assert not fake.outcomes

    def test_pending_raises(self) -> None:
        fake = FakeAct(pending=[("*", "*")])
        guarded = fake.guard().tool(resource=TEMPLATE)(lambda task_id: task_id)
        with pytest.raises(ApprovalPending) as caught:
            guarded("1")
        assert caught.value.decision.approval is not None
        fake.approve(caught.value.decision.approval.id)
        assert guarded("1") == "1"
        with pytest.raises(ApprovalPending):
            guarded("1")

    def test_pending_waits(self, act: Act, server: Server) -> None:
        server.answers(decide(**PENDING), approval("approved"), allow, allow)
        assert act.guard("t").tool(resource=TEMPLATE, on_pending="wait")(lambda task_id: task_id)("1") == "1"
        assert [seen.path.split("?")[0].rsplit("/", 1)[1] for seen in server.seen] == [
            "enforce", "apr_1", "enforce", "outcome",
        ]  # fmt: skip

    def test_rejected_while_waiting(self, act: Act, server: Server) -> None:
        server.answers(decide(**PENDING), approval("rejected", reason="Too much"), decide(**PENDING))
        with pytest.raises(PermissionDenied, match="Too much") as caught:
            act.guard("t").tool(resource=TEMPLATE, on_pending="wait")(lambda task_id: task_id)("1")
        assert not isinstance(caught.value, ApprovalPending)

    def test_an_unreachable_server(self, server: Server) -> None:
        server.close()
        ran = []
        with Act(server.url, KEY, retries=0, timeout=0.5) as act, pytest.raises(PermissionDenied) as caught:
            act.guard("t").tool(resource=TEMPLATE)(lambda task_id: ran.append(task_id))("1")
        assert caught.value.decision.reason_code is ReasonCode.UNREACHABLE
        assert not ran


class TestOutcome:
    @pytest.mark.parametrize(
        ("error", "status"),
        [(RuntimeError, "failed"), (KeyboardInterrupt, "cancelled"), (GeneratorExit, "cancelled")],
    )
    def test_exceptions(self, fake: FakeAct, error: type[BaseException], status: str) -> None:
        @fake.guard().tool(resource=TEMPLATE)
        def run(task_id: str) -> None:
            raise error

        with pytest.raises(error):
            run("1")
        assert [found for _, found in fake.outcomes] == [status]

    def test_a_report_that_fails_hides_nothing_where_nothing_was_read(
        self, server: Server, act: Act, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        server.answers(lambda seen: problem(500) if seen.path.endswith("outcome") else allow(seen))
        guard = act.guard("t")
        assert guard.tool(resource=TEMPLATE, labels=[])(lambda task_id: "result")("1") == "result"

        def broken(task_id: str) -> None:
            raise KeyError(task_id)

        with pytest.raises(KeyError):
            guard.tool(resource=TEMPLATE, labels=[])(broken)("1")
        assert "succeeded of dec_1 was not reported" in caplog.text
        assert "failed of dec_1 was not reported" in caplog.text


class TestAsync:
    def test_with_a_guard_of_act(self, fake: FakeAct) -> None:
        asyncio.run(self._all(fake.guard()))
        assert [status for _, status in fake.outcomes] == ["succeeded", "failed", "cancelled"]

    def test_with_a_guard_of_async_act(self, server: Server) -> None:
        async def work() -> None:
            async with AsyncAct(server.url, KEY) as act:
                await self._all(act.guard("t"))

        asyncio.run(work())
        outcomes = [seen.json["status"] for seen in server.seen if seen.path.endswith("outcome")]
        assert outcomes == ["succeeded", "failed", "cancelled"]

    async def _all(self, guard: Guard | AsyncGuard) -> None:
        started = asyncio.Event()

        @guard.tool(resource=TEMPLATE)
        async def run(task_id: str) -> str:
            if task_id == "fail":
                raise KeyError(task_id)
            if task_id == "hang":
                started.set()
                await asyncio.sleep(60)
            return task_id

        assert inspect.iscoroutinefunction(run)
        assert await run("1") == "1"
        with pytest.raises(KeyError):
            await run("fail")
        task = asyncio.create_task(run("hang"))
        async with asyncio.timeout(30):
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def test_a_coroutine_that_is_closed(self) -> None:
        """It can neither run on nor await a report; closing it must work all the same."""
        guard = Instant()

        class Never:
            def __await__(self) -> Generator[None, None, None]:
                yield

        @guard.tool(resource=TEMPLATE)
        async def run(task_id: str) -> None:
            await Never()

        coroutine: Any = run("1")
        coroutine.send(None)
        coroutine.close()
        assert guard.reported == []

    def test_a_sync_function_needs_a_guard_of_act(self, server: Server) -> None:
        ran = []

        async def work() -> None:
            async with AsyncAct(server.url, KEY) as act:
                guarded = act.guard("t").tool(resource=TEMPLATE)(lambda task_id: ran.append(task_id))
                with pytest.raises(TypeError, match="AsyncGuard"):
                    guarded("1")

        asyncio.run(work())
        assert not ran


class TestDecorating:
    def test_generators_are_refused(self, fake: FakeAct) -> None:
        def sync(task_id: str) -> Iterator[str]:
            yield task_id

        async def later(task_id: str) -> AsyncIterator[str]:
            yield task_id

        for function in (sync, later, functools.partial(sync)):
            with pytest.raises(TypeError, match="generator"):
                fake.guard().tool(resource=TEMPLATE)(function)

    def test_work_in_disguise_is_refused(self, fake: FakeAct) -> None:
        ran = []

        async def work(task_id: str) -> None:
            ran.append(task_id)

        disguised: Callable[[str], Any] = fake.guard().tool(resource=TEMPLATE)(lambda task_id: work(task_id))
        with pytest.raises(TypeError, match="async def"):
            disguised("1")
        assert not ran

    @pytest.mark.parametrize("template", ["", "api://{other}", "api://{task_id.real}", "api://{}", "api://{task_id!r}"])
    def test_a_template_that_does_not_fit(self, fake: FakeAct, template: str) -> None:
        with pytest.raises(ValueError):
            fake.guard().tool(resource=template)(lambda task_id: None)

    def test_what_is_no_function(self, fake: FakeAct) -> None:
        for thing in (int, 5, classmethod(lambda cls: None)):
            with pytest.raises(TypeError, match="functions"):
                fake.guard().tool(resource="api://x")(thing)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="on_pending"):
            fake.guard().tool(resource="api://x", on_pending="hope")  # type: ignore[arg-type]

    def test_it_looks_like_the_function(self, fake: FakeAct) -> None:
        def run(task_id: str, *, amount: int = 5) -> str:
            """Runs a task."""
            return task_id

        guarded = fake.guard().tool(resource=TEMPLATE)(run)
        assert (guarded.__name__, guarded.__doc__) == ("run", "Runs a task.")
        assert list(inspect.signature(guarded).parameters) == ["task_id", "amount"]
        assert get_type_hints(guarded) == {"task_id": str, "amount": int, "return": str}
        assert inspect.unwrap(guarded) is guarded, "nothing leads around the guard"

    def test_a_callable_object(self, fake: FakeAct) -> None:
        class Tool:
            async def __call__(self, task_id: str) -> str:
                return task_id

        guarded = fake.guard().tool(resource=TEMPLATE)(Tool())
        assert asyncio.run(guarded("1")) == "1"
        assert fake.outcomes[0][1] == "succeeded"


class TestBoundTool:
    def test_without_a_guard_nothing_runs(self) -> None:
        ran = []
        guarded = tool("execute", TEMPLATE)(lambda task_id: ran.append(task_id))
        with pytest.raises(PermissionDenied) as caught:
            guarded("1")
        assert (caught.value.decision.decision, caught.value.decision.reason_code) == (
            Verdict.DENIED,
            ReasonCode.NO_TOKEN,
        )
        assert not ran

    def test_the_innermost_guard_is_asked(self, fake: FakeAct) -> None:
        nothing = FakeAct()
        guarded = tool("execute", TEMPLATE)(lambda task_id: task_id)
        with nothing.guard().bind():
            with fake.guard().bind():
                assert guarded("1") == "1"
            with pytest.raises(PermissionDenied):
                guarded("1")

    def test_async(self, fake: FakeAct) -> None:
        @tool("execute", TEMPLATE)
        async def run(task_id: str) -> str:
            return task_id

        async def work() -> None:
            with pytest.raises(PermissionDenied):
                await run("1")
            with fake.guard().bind():
                assert await run("1") == "1"
                assert await asyncio.create_task(run("2")) == "2"

        asyncio.run(work())
