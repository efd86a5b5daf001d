"""`actctl enforce --batch` and the default labels of a tenant."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Ctl

ID = "default-tenant"
READ = {"action": "read", "resourceId": "file://a"}
FLY = {"action": "fly", "resourceId": "file://a"}
SEND = {"action": "send", "resourceId": "mail://b", "arguments": {"to": "b"}}


@pytest.fixture(scope="module")
def token(ctl: Ctl) -> str:
    """Of an agent that may read, and send if a person approves."""
    agent = ctl.json("agents", "create", f"agent {uuid4().hex}")["id"]
    ctl("policies", "create", "--name", "read", "--action", "read", "--resource", "*", "--agent", agent).ok()
    careful = {"name": "send", "actions": ["send"], "resources": ["*"], "appliesTo": {"agentIds": [agent]}}
    (ctl.folder / "send.json").write_text(json.dumps(careful | {"constraints": {"requiresApproval": True}}))
    ctl("policies", "create", "send.json").ok()
    return ctl("tokens", "issue", agent).ok().out.strip()


def lines(*questions: Any) -> str:
    return "".join(json.dumps(question) + "\n" for question in questions)


@pytest.mark.parametrize(
    ("questions", "code"),
    [([READ, READ], 0), ([READ, SEND, READ], 4), ([SEND, FLY, READ], 3), ([FLY], 3)],
)
def test_the_exit_code_is_that_of_the_worst(ctl: Ctl, token: str, questions: list[Any], code: int) -> None:
    run = ctl("enforce", "--batch", "-", "-o", "json", stdin=lines(*questions), ACT_TOKEN=token)
    assert run.code == code
    wanted = {"read": "allowed", "send": "approval_required", "fly": "no_matching_policy"}
    assert [one["reasonCode"] for one in run.json()] == [wanted[one["action"]] for one in questions]


def test_what_could_not_be_decided_is_worst(ctl: Ctl, token: str) -> None:
    same = {"requestId": uuid4().hex}
    run = ctl("enforce", "--batch", "-", stdin=lines(READ | same, FLY | same, FLY), ACT_TOKEN=token)
    assert run.code == 1
    assert [line.split()[:3] for line in run.out.splitlines()[1:]] == [
        ["1", "allowed", "allowed"],
        ["2", "denied", "unreachable"],
        ["3", "denied", "no_matching_policy"],
    ]
    assert "request_id_reused" in run.err
    away = ctl("--url", "http://127.0.0.1:9", "enforce", "--batch", "-", stdin=lines(READ), ACT_TOKEN=token)
    assert (away.code, "could not be reached" in away.err) == (1, True)


def test_a_file_and_a_dry_run(ctl: Ctl, token: str) -> None:
    (ctl.folder / "plan.jsonl").write_text("\n" + lines(READ, SEND) + "\n\n")
    run = ctl("enforce", "--batch", "plan.jsonl", "--dry-run", "-o", "json", ACT_TOKEN=token)
    assert run.code == 4
    assert [one["dryRun"] for one in run.json()] == [True, True]


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("", "asks nothing"),
        ("{}\n", "line 1: /action"),
        (lines(READ) + "[1]\n", "line 2"),
        (lines(READ, READ | {"ressourceId": "x"}), "line 2: Unknown field 'ressourceId'"),
        (lines(READ | {"capabilityToken": "x"}), "Unknown field"),
        (lines(READ | {"action": 1}), "line 1: /action"),
        ('{"action": "a", "action": "b", "resourceId": "c"}\n', "line 1"),
        ('{"action": "read"\n', "line 1"),
    ],
)
def test_a_line_that_is_no_question_is_told_and_nothing_is_asked(ctl: Ctl, token: str, stdin: str, said: str) -> None:
    before = ctl.json("audit", "checkpoint")["size"]
    run = ctl("enforce", "--batch", "-", stdin=stdin, ACT_TOKEN=token)
    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert ctl.json("audit", "checkpoint")["size"] == before


def test_what_does_not_fit_together(ctl: Ctl, token: str) -> None:
    for arguments in (["read", "x", "--batch", "-"], ["--batch", "-", "--requester", "x"], [], ["read"]):
        assert ctl("enforce", *arguments, stdin=lines(READ), ACT_TOKEN=token).code == 2


def test_default_labels(ctl: Ctl, token: str) -> None:
    def told(*notes: str) -> tuple[Any, Any]:
        decision = ctl.json("enforce", "read", "file://a", ACT_TOKEN=token)
        recorded = ctl.json("outcome", decision["decisionId"], "succeeded", *notes)
        record = ctl.json("audit", "show", recorded["audit"]["index"])["record"]
        return record["labels"], record.get("labelsByDefault")

    assert ctl.json("tenants", "show", ID)["defaultLabels"] == ["untrusted"]
    assert told() == (["untrusted"], True)
    assert told("--no-labels") == ([], None)
    assert told("--label", "pii") == (["pii"], None)
    changed = ctl.json("tenants", "set", ID, "--default-label", "b", "--default-label", "a")
    assert changed["defaultLabels"] == ["a", "b"]
    assert told() == (["a", "b"], True)
    assert ctl.json("tenants", "set", ID, "--no-default-labels")["defaultLabels"] == []
    assert told() == ([], True)
    assert ctl.json("tenants", "set", ID, "--default-token-ttl", "3600")["defaultLabels"] == []
    ctl("tenants", "set", ID, "--default-label", "untrusted").ok()
    assert ctl("tenants", "set", ID, "--default-label", "a", "--no-default-labels").code == 2
    assert ctl("tenants", "set", ID, "--default-label", "").code == 1
    assert ctl("outcome", "dec_1", "succeeded", "--label", "a", "--no-labels").code == 2
