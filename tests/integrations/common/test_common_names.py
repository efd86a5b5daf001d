"""Names of agents that are written twice: what is taken for a misspelling, and what is never shown of a mapping."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.integrations.common.test_common_waiting import TOKEN, People

from act.integrations.base import GuardBase
from act.integrations.core import Call, Party
from act.integrations.names import listed, meant
from act.models import ReasonCode

CALL = Call("execute", "api://tasks/1", {})


class AnyGuard(GuardBase):
    framework = "any"


def guard(tokens: Any) -> AnyGuard:
    return AnyGuard(People(), tokens)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Planner", "planer"),
        ("Planner", "planner"),
        ("planner", "palnner"),
        ("Executor", "Executer"),
        ("code_runner", "Code Runner"),
        ("code-runner", "coderunner"),
        ("coder", "coders"),
        ("worker_2", "wroker_2"),
    ],
)
def test_a_misspelling(name: str, other: str) -> None:
    assert meant(name, ("Somebody", other)) == other
    assert meant(other, ("Somebody", name)) == name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Planner", "Executor"),
        ("worker_1", "worker_2"),
        ("worker", "worker_2"),
        ("user", "user_proxy"),
        ("assistant", "assistant_tools"),
        ("Planner", ""),
        ("a", "b"),
    ],
)
def test_another_name(name: str, other: str) -> None:
    assert meant(name, (other,)) is None
    assert meant(other, (name,)) is None


def test_a_long_name_takes_no_time_and_no_place() -> None:
    endless = "a" * 100_000
    assert meant(endless, (endless + "b",)) == endless + "b"
    assert len(listed([endless] * 9)) < 1100
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e' and 2 more"


def test_who_has_no_token_hears_which_there_are() -> None:
    under = guard({"Ada": TOKEN, "Bob": TOKEN})
    ruling = under.enforcer.decide(CALL, executor=under.party_named("Bob"), asker=under.party_named("Planner"))
    assert (ruling.allowed, ruling.code) == (False, ReasonCode.NO_TOKEN)
    assert "'Ada'" in ruling.reason
    assert "Bob" not in ruling.reason, "Bob has his token; it is Ada's that nobody has"
    assert TOKEN not in ruling.text


def test_a_person_is_told_nothing_when_every_token_has_its_agent() -> None:
    under = guard({"Planner": TOKEN})
    under.meet(["Planner", "planer"])
    ruling = under.enforcer.decide(CALL, executor=under.party_named("Planner"), asker=under.party_named("planer"))
    assert ruling.reason == "planer asked for this and has no capability token, so it may only speak."


@pytest.mark.parametrize(("executor", "asker"), [("Planner", "Ada"), ("Ada", "Planner"), ("Planner", "Planner")])
def test_a_doubt_about_either_is_enough(executor: str, asker: str) -> None:
    under = guard({"Ada": TOKEN, "planer": TOKEN})
    runs, asks = under.party_named(executor), under.party_named(asker)
    ruling = under.enforcer.decide(CALL, executor=runs, asker=asks)
    assert (ruling.allowed, ruling.code) == (False, ReasonCode.NO_TOKEN)
    assert "Planner" in ruling.reason
    assert "'planer'" in ruling.reason


def test_the_doubt_is_over_when_an_agent_has_the_name() -> None:
    under = guard({"Ada": TOKEN, "planer": TOKEN})
    with pytest.warns(UserWarning, match="'Planner' has no token, .* 'planer'"):
        under.meet(["Planner", "Ada"])
    under.meet(["planer"])
    person = under.party_named("Planner")
    assert person.is_person
    assert under.enforcer.decide(CALL, executor=person, asker=under.party_named("Ada")).allowed


@pytest.mark.filterwarnings("error")
def test_none_says_that_there_is_to_be_no_token() -> None:
    under = guard({"Ada": TOKEN, "planer": TOKEN, "Planner": None})
    under.meet(["Planner", "Ada"])
    person = under.party_named("Planner")
    assert person.is_person
    assert under.enforcer.decide(CALL, executor=person, asker=under.party_named("Ada")).allowed
    assert under.enforcer.decide(CALL, executor=person, asker=person).code is ReasonCode.NO_TOKEN


@pytest.mark.filterwarnings("error")
def test_agents_of_one_call_are_met_together() -> None:
    guard({"planer": TOKEN}).meet(["Planner", "planer"])


def test_a_token_added_later_counts() -> None:
    tokens = {"planer": TOKEN}
    under = guard(tokens)
    assert not under.party_named("Planner").is_person
    tokens["Planner"] = TOKEN
    assert under.party_named("Planner").token == TOKEN


def test_the_log_names_what_no_agent_has_once(caplog: pytest.LogCaptureFixture) -> None:
    under = guard({"Ada": TOKEN, "Bob": TOKEN})
    with caplog.at_level(logging.WARNING, "act.integrations"):
        for name in ("user", "user", "Bob", "user"):
            under.party_named(name)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "'user'" in said
    assert "'Ada', 'Bob'" in said
    assert TOKEN not in said


def test_a_mapping_the_wrong_way_round_is_refused_without_its_tokens() -> None:
    for value in ("Planner", object()):
        with pytest.raises(ValueError, match="a token for a name") as refusal:
            guard({TOKEN: value})
        assert TOKEN not in str(refusal.value)
    with pytest.raises(TypeError, match="object of Party is no name"):
        guard({Party("Planner"): TOKEN})


def test_a_token_that_became_a_name_later_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    tokens: dict[Any, Any] = {"Ada": TOKEN}
    under = guard(tokens)
    tokens |= {TOKEN: "Bob", 7: TOKEN}
    person = under.party_named("Planner")
    assert person.spare == ("Ada",)
    ruling = under.enforcer.decide(CALL, executor=person, asker=person)
    assert TOKEN not in ruling.text + caplog.text
