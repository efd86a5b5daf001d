"""A guarded function tells its session what it has read and made, or its result does not come out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from act import Act, AsyncAct, NotReported, PermissionDenied, tool
from act.testing import FakeAct

from .wire import KEY, Seen, Server, allow, problem


@pytest.fixture
def fake() -> FakeAct:
    return FakeAct(allow=[("*", "*")])


def refuse_outcomes(seen: Seen) -> Any:
    return problem(409, "session_full") if seen.path.endswith("outcome") else allow(seen)


def outcomes(server: Server) -> list[Any]:
    return [seen.json for seen in server.seen if seen.path.endswith("outcome")]


def test_labels_and_created_resources(fake: FakeAct) -> None:
    @fake.guard().tool(
        "make", "file://new", labels=["untrusted", "pii"], created=lambda names: [f"file://{n}" for n in names]
    )
    def make() -> list[str]:
        return ["a", "b", "a"]

    assert make() == ["a", "b", "a"]
    assert (fake.labels, fake.created) == ({"untrusted", "pii"}, ["file://a", "file://b"])
    assert [status for _, status in fake.outcomes] == ["succeeded"]


@pytest.mark.parametrize(("error", "status"), [(KeyError, "failed"), (KeyboardInterrupt, "cancelled")])
def test_what_was_read_before_it_failed_was_read(fake: FakeAct, error: type[BaseException], status: str) -> None:
    @fake.guard().tool("read", "file://a", labels=["untrusted"], created=lambda _: ["file://a"])
    def read() -> None:
        raise error

    with pytest.raises(error):
        read()
    assert ([said for _, said in fake.outcomes], fake.labels, fake.created) == ([status], {"untrusted"}, [])


def test_the_bound_guard_is_told(fake: FakeAct) -> None:
    @tool("read", "file://a", labels=["untrusted"])
    async def read() -> str:
        return "text"

    with fake.guard().bind():
        assert asyncio.run(read()) == "text"
    assert fake.labels == {"untrusted"}


def test_without_labels_nothing_is_said_of_them(act: Act, server: Server) -> None:
    """Then the default of the tenant counts. What says that it reads nothing says so."""
    for labels, sent in ((None, {}), ([], {"labels": []}), (["a"], {"labels": ["a"]})):
        server.seen.clear()
        act.guard("t").tool("read", "file://a", labels=labels)(lambda: None)()
        assert outcomes(server) == [{"status": "succeeded"} | sent]


def test_a_call_whose_arguments_changed_has_read_nothing(server: Server, act: Act) -> None:
    """It did not run."""
    given: list[int] = []
    server.answers(lambda seen: (given.append(1), allow(seen))[1])
    with pytest.raises(PermissionDenied):
        act.guard("t").tool("read", "file://a")(lambda numbers: None)(given)
    assert outcomes(server) == [{"status": "cancelled", "labels": []}]


def test_the_fake_has_a_default_as_well() -> None:
    fake = FakeAct(allow=[("*", "*")])
    fake.guard().tool("read", "file://a", labels=[])(lambda: None)()
    assert fake.labels == set()
    fake.guard().tool("read", "file://a")(lambda: None)()
    assert fake.labels == {"untrusted"}
    fake = FakeAct(allow=[("*", "*")], default_labels=[])
    fake.guard().tool("read", "file://a")(lambda: None)()
    assert fake.labels == set()


def test_what_did_not_run_has_no_labels() -> None:
    fake = FakeAct()
    with pytest.raises(Exception, match="not told to allow"):
        fake.guard().tool("read", "file://a", labels=["untrusted"])(lambda: None)()
    assert not fake.labels


class TestNotReported:
    """The next decision would know nothing of what was read, so it is withheld."""

    @pytest.fixture
    def server(self, server: Server) -> Server:
        server.answers(refuse_outcomes)
        return server

    @pytest.mark.parametrize(
        "notes", [{}, {"labels": ["untrusted"]}, {"labels": [], "created": lambda _: ["file://a"]}]
    )
    def test_a_result(self, act: Act, server: Server, notes: Any) -> None:
        with pytest.raises(NotReported, match="session_full"):
            act.guard("t").tool("read", "file://a", **notes)(lambda: "secret")()
        assert len(outcomes(server)) == 1

    def test_an_exception(self, act: Act, server: Server) -> None:
        def read() -> None:
            raise KeyError("secret")

        with pytest.raises(NotReported) as caught:
            act.guard("t").tool("read", "file://a", labels=["untrusted"])(read)()
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_the_end_of_the_program_goes_on(self, act: Act, server: Server, error: type[BaseException]) -> None:
        def read() -> None:
            raise error

        with pytest.raises(error):
            act.guard("t").tool("read", "file://a", labels=["untrusted"])(read)()

    def test_async(self, server: Server) -> None:
        async def read(fails: bool) -> str:
            if fails:
                raise KeyError("secret")
            return "secret"

        async def work() -> None:
            async with AsyncAct(server.url, KEY) as act:
                guarded = act.guard("t").tool("read", "file://a", labels=["untrusted"])(read)
                for fails in (False, True):
                    with pytest.raises(NotReported):
                        await guarded(fails)

        asyncio.run(work())
        assert [told["status"] for told in outcomes(server)] == ["succeeded", "failed"]

    def test_a_report_that_got_lost_is_repeated(self, act: Act, server: Server) -> None:
        """The server records the same report once."""
        server.answers(allow, problem(503), allow)
        assert act.guard("t").tool("read", "file://a", labels=["untrusted"])(lambda: "text")() == "text"
        assert outcomes(server) == [{"status": "succeeded", "labels": ["untrusted"]}] * 2


@pytest.mark.parametrize("created", [lambda _: "file://a", lambda _: 1 / 0, lambda _: None])
def test_what_was_made_and_cannot_be_named(fake: FakeAct, created: Callable[[Any], Any]) -> None:
    """The labels are told all the same."""
    with pytest.raises((TypeError, ZeroDivisionError)):
        fake.guard().tool("make", "file://a", labels=["untrusted"], created=created)(lambda: "result")()
    assert (fake.labels, fake.created) == ({"untrusted"}, [])


@pytest.mark.parametrize("labels", [[""], ["x" * 65], ["a\nb"], [1], [str(n) for n in range(33)]])
def test_labels_are_checked_while_decorating(fake: FakeAct, labels: Any) -> None:
    with pytest.raises(ValueError, match="no labels"):
        fake.guard().tool("read", "file://a", labels=labels)


@pytest.mark.parametrize("notes", [{"labels": "untrusted"}, {"created": ["file://a"]}])
def test_what_was_probably_not_meant(fake: FakeAct, notes: Any) -> None:
    with pytest.raises(TypeError):
        fake.guard().tool("read", "file://a", **notes)
    with pytest.raises(TypeError):
        fake.report_outcome("dec_1", "succeeded", labels="untrusted")
