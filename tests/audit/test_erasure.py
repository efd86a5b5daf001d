"""A real server keeps what its tenant wants it to keep of arguments, and erases it when it is told to."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from act import Act, AsyncAct
from act.cli.verify import Result, verified
from act.models import ArgumentsErased
from tests.attacks.conftest import OTHER_KEY, make_second_tenant
from tests.attacks.log import export, judge, keep
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, Server

TENANT = "/v1/tenants/default-tenant"
HIDDEN = "[redacted]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("erasure")
    make_second_tenant(folder)
    with Server(folder) as server:
        yield server


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """The admin, whose tenant keeps what tenants keep at first."""
    with server.api() as api:
        api.patch(TENANT, {"auditArguments": "redacted", "redactPatterns": []})
        yield api


class Asking:
    """An agent that may `run`, and `ask` for what needs a person, with an API key that enforces and no more."""

    def __init__(self, client: Callable[[str], Api], api: Api) -> None:
        self.agent = api.agent()
        mine = {"agentIds": [self.agent]}
        api.policy(["run"], appliesTo=mine)
        api.policy(["ask"], appliesTo=mine, constraints={"requiresApproval": True})
        self.token = api.token(self.agent, onBehalfOf=f"user:{uuid4().hex}")
        self.point = client(api.key("enforce")["key"])

    def run(self, arguments: dict[str, Any], **more: Any) -> int:
        """The index of its record."""
        return int(self.point.enforce(self.token, "run", "x", arguments=arguments, **more)["audit"]["index"])

    def ask(self, arguments: dict[str, Any], **more: Any) -> Any:
        return self.point.enforce(self.token, "ask", "x", arguments=arguments, **more)


@pytest.fixture
def asking(server: Server, api: Api) -> Iterator[Asking]:
    asking = Asking(server.api, api)
    yield asking
    asking.point.close()


def lines(api: Api) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(api).splitlines()[:-1]]


def judged(text: bytes) -> Result:
    return verified(io.BytesIO(text), {}, None)


def in_files(server: Server, secret: str) -> list[str]:
    """The files beside the database, and it, that have this text."""
    files = [path for path in server.database.parent.rglob("*") if path.is_file() and ".keys" not in path.parent.name]
    assert any(path.name == "act.db" for path in files)
    return [path.name for path in files if secret.encode() in path.read_bytes()]


def word() -> str:
    """A text that stands nowhere else and looks like nothing."""
    return f"marigold {uuid4().hex[:8]} " * 4


# --- what is kept ---


def test_arguments_are_kept_without_secrets_unless_the_tenant_says_otherwise(server: Server, api: Api) -> None:
    asking, secret = Asking(server.api, api), word()
    card, sent = "4111 1111 1111 1111", {"to": "anna", "auth": {"password": secret}, "cmd": f"--password '{secret}'"}
    index = asking.run(sent | {"card": card})
    shown = api.get(f"/v1/audit/{index}")
    kept = {"to": "anna", "auth": HIDDEN, "cmd": f"--password {HIDDEN}", "card": HIDDEN}
    assert shown["arguments"] == kept
    assert shown["salt"] is None
    assert shown["record"]["argumentsKept"] == "redacted"
    assert api.get(f"/v1/audit?agent={asking.agent}")["items"][0] == shown
    line = lines(api)[index]
    assert (line["arguments"], len(line["salt"])) == (kept, 32)
    assert in_files(server, secret) == in_files(server, card) == []
    assert in_files(server, "--password [redacted]"), "this test would find nothing anywhere"
    assert judge(api, keep(api)).ok


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        ("none", None),
        ("redacted", {"password": HIDDEN, "note": "x", "own": HIDDEN}),
        ("full", {"password": "hunter2", "note": "x", "own": HIDDEN}),
    ],
)
def test_the_mode_holds_from_the_next_request_on(api: Api, asking: Asking, mode: str, kept: Any) -> None:
    changed = api.patch(TENANT, {"auditArguments": mode})
    assert (changed["auditArguments"], api.get(TENANT)["auditArguments"]) == (mode, mode)
    index = asking.run({"password": "hunter2", "note": "x", "own": asking.token}, minRevision=changed["revision"])
    shown = api.get(f"/v1/audit/{index}")
    assert shown["arguments"] == kept
    assert shown["record"]["argumentsKept"] == mode
    assert ("arguments" in lines(api)[index]) is (kept is not None)
    assert judge(api).ok


def test_patterns_of_the_tenant_redact_besides(api: Api, asking: Asking) -> None:
    changed = api.patch(TENANT, {"redactPatterns": ["*phone*", "/c/*/mail", "*phone*"]})
    assert changed["redactPatterns"] == api.get(TENANT)["redactPatterns"] == ["*phone*", "/c/*/mail"]
    last = api.get("/v1/audit?kind=tenant.updated&limit=1")["items"][0]["record"]
    assert (last["redactPatterns"], last["auditArguments"]) == (["*phone*", "/c/*/mail"], "redacted")
    index = asking.run({"homePhone": 1, "c": [{"mail": "m", "x": 1}], "token": 1}, minRevision=changed["revision"])
    kept = {"homePhone": HIDDEN, "c": [{"mail": HIDDEN, "x": 1}], "token": HIDDEN}
    assert api.get(f"/v1/audit/{index}")["arguments"] == kept


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"auditArguments": "all"}, ["/auditArguments"]),
        ({"auditArguments": None}, [""]),
        ({"redactPatterns": ["x"] * 65}, ["/redactPatterns"]),
        ({"redactPatterns": ["ok", "", "x" * 129, "/a~"]}, [f"/redactPatterns/{at}" for at in (1, 2, 3)]),
        ({"redactPatterns": "x"}, ["/redactPatterns"]),
    ],
    ids=["mode", "null", "many", "patterns", "type"],
)
def test_settings_that_mean_nothing_change_nothing(api: Api, body: Any, pointers: list[str]) -> None:
    before = api.get(TENANT)
    problem = api.patch(TENANT, body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]] == pointers
    assert api.get(TENANT) == before


def test_other_forms_of_the_log_have_it_too(api: Api, asking: Asking) -> None:
    index = asking.run({"to": "anna", "password": "hunter2", "none": None})
    [row] = [
        line for line in api.client.get("/v1/audit/export?format=csv").text.splitlines() if line.startswith(f"{index},")
    ]
    assert row.endswith('"{""none"":null,""password"":""[redacted]"",""to"":""anna""}"')
    events = [json.loads(line) for line in api.client.get("/v1/audit/export?format=ocsf").text.splitlines()]
    [event] = [event for event in events if event["metadata"]["sequence"] == index]
    assert event["api"]["request"]["data"] == {"to": "anna", "password": HIDDEN, "none": None}


def test_a_large_number_does_not_make_the_export_unreadable(api: Api, asking: Asking) -> None:
    for number in (1e16, 2.0**53, -1e300, 0.1234567890123456):
        asking.run({"n": number})
    assert judge(api, keep(api)).ok


def test_what_is_too_long_is_told_by_its_length(api: Api, asking: Asking) -> None:
    shown = api.get(f"/v1/audit/{asking.run({'x': 'a' * 20_000})}")
    assert shown["arguments"] is None
    assert (shown["record"]["argumentsKept"], shown["record"]["argumentsBytes"]) == ("none", 20_008)


# --- what was kept cannot be altered ---


@pytest.mark.parametrize("what", ["arguments", "salt", "one without the other", "swapped"])
def test_what_was_altered_is_named(api: Api, asking: Asking, what: str) -> None:
    one, two = asking.run({"a": 1}), asking.run({"a": 2, "password": "x"})
    *records, checkpoint = export(api).splitlines()
    altered = [json.loads(line) for line in records]
    line = altered[one]
    if what == "arguments":
        line["arguments"]["a"] = 2
    elif what == "salt":
        line["salt"] = altered[two]["salt"]
    elif what == "swapped":
        for name in ("arguments", "salt"):
            line[name], altered[two][name] = altered[two][name], line[name]
    else:
        del line["salt"]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in altered) + checkpoint + b"\n"
    found = judged(text)
    assert not found.ok
    assert found.bad_index == one
    for name in ("arguments", "salt"):
        line.pop(name, None)
    if what == "swapped":
        altered[two] = json.loads(records[two])
    found = judged(b"".join(json.dumps(line).encode() + b"\n" for line in altered) + checkpoint + b"\n")
    assert (found.ok, found.bad_index, found.unnamed) == (False, one, 1), "no record says that it was erased"
    assert f"The arguments of record {one} are gone" in found.message


# --- erasing ---


def test_one_decision_is_erased_and_the_log_stays_valid(server: Server, api: Api, asking: Asking) -> None:
    text = word()
    index, other = asking.run({"note": text}), asking.run({"note": "stays"})
    kept, before = keep(api), api.get(f"/v1/audit/{index}")
    proof = api.get(f"/v1/audit/proof/inclusion?index={index}&size={kept.size}")
    assert in_files(server, text)
    erased = api.post(f"/v1/audit/{index}/erase", {"reason": "case 7"}, status=200)
    assert (erased["erased"], erased["approvals"], erased["overwritten"]) == (1, 0, True)
    assert in_files(server, text) == []
    after = api.get(f"/v1/audit/{index}")
    assert after == before | {"arguments": None}
    assert api.get(f"/v1/audit/proof/inclusion?index={index}&size={kept.size}") == proof
    assert api.get(f"/v1/audit/{other}")["arguments"] == {"note": "stays"}
    assert not {"arguments", "salt"} & lines(api)[index].keys()
    record = api.get(f"/v1/audit/{erased['audit']['index']}")["record"]
    assert (record["kind"], record["reason"], record["indexes"], record["count"]) == (
        "arguments.erased",
        "case 7",
        [index],
        1,
    )
    assert record["keyId"].startswith("key_")
    found = judge(api, kept)
    assert found.ok
    assert found.erased >= 1


def test_erasing_twice_is_no_error_and_leaves_one_record(api: Api, asking: Asking) -> None:
    index = asking.run({"note": "x"})
    assert api.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=200)["erased"] == 1
    size = keep(api).size
    again = api.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=200)
    assert (again["erased"], again["audit"], again["next"]) == (0, None, None)
    assert keep(api).size == size


def test_a_salt_alone_is_erased_too(api: Api, asking: Asking) -> None:
    """Whoever has the arguments, or guesses them, cannot show any more that they were these."""
    api.patch(TENANT, {"auditArguments": "none"})
    index = asking.run({"note": "x"})
    assert api.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=200)["erased"] == 1


def test_only_administrators_erase_and_only_their_own(server: Server, api: Api, asking: Asking) -> None:
    index = asking.run({"note": "x"})
    for scope in ("audit", "approve", "enforce", "agents"):
        with server.api(api.key(scope)["key"]) as other:
            assert other.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=403)["code"] == "scope_missing"
            matching = {"agentId": asking.agent, "reason": "r"}
            assert other.post("/v1/audit/erase", matching, status=403)["code"] == "scope_missing"
    with server.api(OTHER_KEY) as stranger:
        assert stranger.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=404)["code"] == "not_found"
        assert stranger.post("/v1/audit/erase", {"agentId": asking.agent, "reason": "r"}, status=200)["erased"] == 0
        assert (
            stranger.post("/v1/audit/erase", {"before": "2100-01-01T00:00:00Z", "reason": "r"}, status=200)["erased"]
            == 0
        )
    assert api.get(f"/v1/audit/{index}")["arguments"] == {"note": "x"}
    assert api.post("/v1/audit/9999999/erase", {"reason": "r"}, status=404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"reason": "r"}, [""]),
        ({"agentId": None, "reason": "r"}, [""]),
        ({"agentId": "a"}, ["/reason"]),
        ({"agentId": "a", "reason": ""}, ["/reason"]),
        ({"agentId": "", "reason": "r"}, ["/agentId"]),
        ({"before": "yesterday", "reason": "r"}, ["/before"]),
        ({"agentId": "a", "reason": "r", "begin": -1}, ["/begin"]),
        ({"agent": "a", "reason": "r"}, ["/agent"]),
    ],
    ids=["nobody", "null", "no reason", "empty reason", "empty", "time", "begin", "unknown"],
)
def test_an_erasure_that_means_nothing_is_none(api: Api, body: Any, pointers: list[str]) -> None:
    size = keep(api).size
    problem = api.post("/v1/audit/erase", body, status=422)
    assert [fault["pointer"] for fault in problem["errors"]][: len(pointers)] == pointers
    assert keep(api).size == size


def test_what_matches_is_erased_and_nothing_else(server: Server, api: Api) -> None:
    one, two = Asking(server.api, api), Asking(server.api, api)
    mine, others = [one.run({"n": n}) for n in range(3)], [two.run({"n": n}) for n in range(3)]
    requested = two.run({"n": 3}, requesterToken=one.token)

    def left(indexes: list[int]) -> list[int]:
        return [index for index in indexes if api.get(f"/v1/audit/{index}")["arguments"] is not None]

    user = api.get(f"/v1/audit/{mine[0]}")["record"]["onBehalfOf"]
    moment = api.get(f"/v1/audit/{mine[1]}")["record"]["at"]
    erase = {"reason": "request 9"}
    early = api.post("/v1/audit/erase", erase | {"agentId": one.agent, "before": moment}, status=200)
    assert left(mine)[-2:] == mine[1:]  # two of one millisecond are of the same moment
    assert early["erased"] == 3 - len(left(mine))
    assert api.post("/v1/audit/erase", erase | {"requesterId": one.agent}, status=200)["erased"] == 1
    assert (left(others), left([requested])) == (others, [])
    both = api.post("/v1/audit/erase", erase | {"agentId": two.agent, "onBehalfOf": user}, status=200)
    assert (both["erased"], both["audit"]) == (0, None)
    mostly = api.post("/v1/audit/erase", erase | {"onBehalfOf": user}, status=200)
    assert (left(mine), left(others)) == ([], others)
    assert mostly["erased"] + early["erased"] == 3
    record = api.get(f"/v1/audit/{mostly['audit']['index']}")["record"]
    assert record["filter"] == {"onBehalfOf": user}
    assert record["count"] == len(record["indexes"]) == mostly["erased"]
    assert "agentId" not in record, "who erased is the key; the agent has done nothing here"


def test_many_are_erased_call_by_call(server: Server, api: Api, asking: Asking) -> None:
    text = word()

    def request(n: int) -> dict[str, Any]:
        arguments = {"n": n, "note": f"{text}{n}", "more": "x" * (n * 23 % 4000)}
        asked = {"requestId": uuid4().hex, "capabilityToken": asking.token, "action": "run", "resourceId": "x"}
        return asked | {"arguments": arguments}

    for at in range(0, 600, 40):
        asking.point.post("/v1/enforce/batch", {"requests": [request(n) for n in range(at, at + 40)]}, status=200)
    assert in_files(server, text)
    begin, answers = 0, list[Any]()
    while begin is not None:
        body = {"agentId": asking.agent, "reason": "r", "begin": begin}
        answers.append(api.post("/v1/audit/erase", body, status=200))
        begin = answers[-1]["next"]
    assert [answer["erased"] for answer in answers] == [500, 100]
    assert answers[-1]["overwritten"]
    assert in_files(server, text) == []
    assert judge(api, keep(api)).ok


def test_the_same_erasure_under_one_idempotency_key_is_one(api: Api, asking: Asking) -> None:
    index, key = asking.run({"note": "x"}), {"Idempotency-Key": uuid4().hex}
    body = {"reason": "r"}
    first = api.post(f"/v1/audit/{index}/erase", body, status=200, headers=key)
    assert first["erased"] == 1
    assert api.post(f"/v1/audit/{index}/erase", body, status=200, headers=key) == first


# --- approvals hold the same arguments ---


@pytest.mark.parametrize("mode", ["none", "redacted", "full"])
@pytest.mark.parametrize("end", ["redeem", "reject"])
def test_what_stays_of_a_settled_approval_is_what_the_log_keeps(
    server: Server, api: Api, asking: Asking, mode: str, end: str
) -> None:
    secret = word()
    sent = {"to": "anna", "password": secret}
    context = {"conversationId": "c-1", "password": secret}
    api.patch(TENANT, {"auditArguments": mode})
    path = f"/v1/approvals/{asking.ask(sent, context=context)['approval']['id']}"
    pending = api.get(path)
    assert (pending["arguments"], pending["context"]) == (sent, context)
    assert in_files(server, secret)
    if end == "reject":
        api.post(f"{path}/reject", {"reason": "no"}, status=200)
    else:
        api.post(f"{path}/approve", {}, status=200)
        assert api.get(path)["arguments"] == sent, "it is not used yet"
        assert asking.ask(sent, context=context)["reasonCode"] == "allowed"
    settled = api.get(path)
    kept = {"none": None, "redacted": sent | {"password": HIDDEN}, "full": sent}[mode]
    assert settled["arguments"] == kept
    assert settled["context"] == {"none": {"conversationId": "c-1"}}.get(
        mode, context | {"password": HIDDEN} if mode == "redacted" else context
    )
    if end == "reject":
        assert asking.ask(sent, context=context)["reasonCode"] == "approval_rejected", "it is known by its hash"


def test_erasing_a_decision_erases_its_approval(server: Server, api: Api, asking: Asking) -> None:
    text = word()
    asked = asking.ask({"note": text}, context={"conversationId": "c-2", "note": text})
    path = f"/v1/approvals/{asked['approval']['id']}"
    api.post(f"{path}/approve", {}, status=200)
    used = asking.ask({"note": text}, context={"conversationId": "c-2", "note": text})
    erased = api.post("/v1/audit/erase", {"agentId": asking.agent, "reason": "r"}, status=200)
    assert (erased["erased"], erased["approvals"], erased["overwritten"]) == (2, 1, True)
    assert (api.get(path)["arguments"], api.get(path)["context"]) == (None, {"conversationId": "c-2"})
    assert in_files(server, text) == []
    record = api.get(f"/v1/audit/{erased['audit']['index']}")["record"]
    assert record["approvals"] == [asked["approval"]["id"]]
    assert used["reasonCode"] == "allowed"
    # An approval of which nothing is known is still used up.
    assert asking.ask({"note": text})["reasonCode"] == "approval_required"


@pytest.mark.parametrize("end", ["redeem", "reject"])
def test_an_open_approval_is_erased_once_it_is_settled(server: Server, api: Api, asking: Asking, end: str) -> None:
    text = word()
    asked = asking.ask({"note": text})
    path = f"/v1/approvals/{asked['approval']['id']}"
    erased = api.post(f"/v1/audit/{asked['audit']['index']}/erase", {"reason": "r"}, status=200)
    assert (erased["erased"], erased["approvals"]) == (1, 0)
    assert api.get(path)["arguments"] == {"note": text}, "who decides has to see it"
    if end == "reject":
        api.post(f"{path}/reject", {"reason": "no"}, status=200)
    else:
        api.post(f"{path}/approve", {}, status=200)
        used = asking.ask({"note": text})
        assert used["reasonCode"] == "allowed"
        assert api.post(f"/v1/audit/{used['audit']['index']}/erase", {"reason": "r"}, status=200)["erased"] == 1
    assert api.get(path)["arguments"] is None
    # What goes with a later step is overwritten when the write-ahead log is emptied the next time.
    assert api.post(f"/v1/audit/{asked['audit']['index']}/erase", {"reason": "r"}, status=200)["overwritten"]
    assert in_files(server, text) == []
    # Nor is anything known of it, by which a guess could be tested: it is a new question.
    assert asking.ask({"note": text})["approval"]["id"] != asked["approval"]["id"]


def test_an_erased_log_is_read_again_after_a_restart(tmp_path: Path) -> None:
    text = word()
    node = InProcess(tmp_path)
    asking = Asking(node.client, node.api)
    rejected = asking.ask({"note": text})
    node.api.post(f"/v1/approvals/{rejected['approval']['id']}/reject", {"reason": "no"}, status=200)
    index = asking.run({"note": text}, requestId="again")
    node.api.post("/v1/audit/erase", {"agentId": asking.agent, "reason": "r"}, status=200)
    kept = keep(node.api)
    node.close()
    assert text.encode() not in (tmp_path / "act.db").read_bytes()
    node = InProcess(tmp_path)
    try:
        assert judge(node.api, kept).ok
        assert node.api.get(f"/v1/audit/{index}")["arguments"] is None
        again = node.api.enforce(asking.token, "ask", "x", arguments={"note": text})
        assert again["decision"] == "pending_approval", "nothing is known of the no any more: a person is asked"
    finally:
        node.close()


def test_the_sdk_erases_call_by_call(server: Server, api: Api, asking: Asking) -> None:
    one, *others = [asking.run({"n": n}) for n in range(3)]

    async def erase_the_rest() -> list[ArgumentsErased]:
        async with AsyncAct(server.url, ADMIN_KEY) as act:
            assert (await act.audit.erase(one, "again")).erased == 0
            return [answer async for answer in act.audit.erase_matching("all of it", agent_id=asking.agent)]

    with Act(server.url, ADMIN_KEY) as act:
        assert act.audit.get(one).arguments == {"n": 0}
        assert act.audit.erase(one, "one of them").erased == 1
        assert act.audit.get(one).arguments is None
        answers = asyncio.run(erase_the_rest())
        assert sum(answer.erased for answer in answers) == len(others)
        assert answers[-1].next is None
        exported = {line.index: line for line in act.audit.export()}
    assert all(exported[index].arguments is exported[index].salt is None for index in (one, *others))
