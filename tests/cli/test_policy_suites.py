"""`actctl policies test`, `lint` and `diff`: what they find, what they refuse, and that the suites tell the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
import yaml

from act.cli.documents import Unreadable, read_json, read_yaml
from act.policies.bundle import read_bundle
from act.policies.suite import Suite, SuiteUnusable, read_suite
from tests.conformance.bearers import Bearer
from tests.conformance.targets import OverHttp
from tests.support import Server

from .conftest import Ctl
from .test_itself import on_a_terminal

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)

AGENTS = [{"name": "Ann", "roles": ["writer"]}, {"name": "Bob", "id": "bob-1", "metadata": {"role": "reader"}}]
WRITE = {"name": "Write", "actions": ["write"], "resources": ["doc://*"], "appliesTo": {"roles": ["writer"]}}
READ = {"name": "Read", "actions": ["read"], "resources": ["doc://*"], "appliesTo": {"agentIds": ["bob-1"]}}
GUARD = {**WRITE, "name": "Guard", "constraints": {"requiresApproval": True}}
NEVER = {"name": "Never", "effect": "deny", "actions": ["*"], "resources": ["doc://secret/*"]}


@pytest.fixture
def offline(tmp_path: Path) -> Ctl:
    """`actctl` where there is no server."""
    return Ctl({"ACT_BASE_URL": "http://127.0.0.1:9"}, tmp_path)


def case(**more: Any) -> dict[str, Any]:
    return {"agent": "Ann", "action": "write", "resource": "doc://1", "expect": "allowed"} | more


def suite(*cases: dict[str, Any], policies: Any = (WRITE, READ), **more: Any) -> Suite:
    return read_suite({"agents": AGENTS, "policies": list(policies), "cases": list(cases)} | more)


def decided(one: dict[str, Any], **more: Any) -> tuple[str, str]:
    (result,) = suite(one, **more).run(NOW)
    return result.decision, str(result.code)


def faults(document: Any) -> dict[str, str]:
    with pytest.raises(SuiteUnusable) as raised:
        read_suite(document)
    return {fault.pointer: fault.message for fault in raised.value.faults}


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), "utf-8")
    return path


# --- what a suite decides ---


@pytest.mark.parametrize(
    ("one", "policies", "answer"),
    [
        (case(), [WRITE], ("allowed", "allowed")),
        (case(action="read"), [WRITE], ("denied", "no_matching_policy")),
        (case(resource="doc://secret/1"), [WRITE, NEVER], ("denied", "policy_denied")),
        (case(), [WRITE, GUARD], ("pending_approval", "approval_required")),
        (case(resource="doc://../1"), [WRITE], ("denied", "resource_malformed")),
        (case(agent="bob-1", action="read"), [READ], ("allowed", "allowed")),
        (case(agent="Bob", action="read"), [READ], ("allowed", "allowed")),
        (case(requester="Bob"), [WRITE], ("denied", "requester_not_permitted")),
        (case(), [{**WRITE, "enabled": False}], ("denied", "no_matching_policy")),
        (case(), [WRITE, {**NEVER, "resources": ["*"], "mode": "shadow"}], ("allowed", "allowed")),
        (case(), [{**WRITE, "constraints": {"maxConcurrentTasks": 0}}], ("denied", "concurrency_exceeded")),
        (case(), [{**WRITE, "constraints": {"maxConcurrentTasks": 1}}], ("allowed", "allowed")),
        (case(), [{"name": "Writer rights", "actions": ["*"], "resources": ["*"]}], ("allowed", "allowed")),
        (case(), [{"name": "Reader rights", "actions": ["*"], "resources": ["*"]}], ("denied", "no_matching_policy")),
        (case(context={"env": "prod"}), [{**WRITE, "when": "context.env == 'prod'"}], ("allowed", "allowed")),
        (case(), [{**WRITE, "when": "context.env == 'prod'"}], ("denied", "no_matching_policy")),
        (
            case(agent="Bob", action="read"),
            [{**READ, "when": "agent.metadata.role == 'reader'"}],
            ("allowed", "allowed"),
        ),
    ],
)
def test_a_case_is_decided_as_the_engine_decides(
    one: dict[str, Any], policies: list[Any], answer: tuple[str, str]
) -> None:
    assert decided(one, policies=policies) == answer


def test_time_is_the_case_s_or_the_suite_s_or_the_clock_s() -> None:
    hours = [{**WRITE, "constraints": {"allowedHours": "09:00-17:00 UTC"}}]
    night = "2026-11-23T22:00:00Z"
    outside = ("denied", "outside_allowed_hours")
    assert decided(case(), policies=hours) == ("allowed", "allowed")
    assert decided(case(), policies=hours, now=night) == outside
    assert decided(case(now="2026-11-23T10:00:00+01:00"), policies=hours, now=night) == ("allowed", "allowed")


def test_no_case_uses_up_anything_of_another() -> None:
    limited = {**WRITE, "constraints": {"maxConcurrentTasks": 1}}
    assert [result.decision for result in suite(case(), case(), policies=[limited]).run(NOW)] == ["allowed"] * 2


@pytest.mark.parametrize(
    ("expect", "failures"),
    [
        ("allowed", []),
        ({"decision": "allowed", "reasonCode": "allowed", "policies": ["Write"]}, []),
        ("denied", ["expected denied, got allowed (allowed)"]),
        ("pending_approval", ["expected pending_approval, got allowed (allowed)"]),
        (
            {"decision": "allowed", "reasonCode": "policy_denied"},
            ["expected the reason policy_denied, got allowed"],
        ),
        ({"decision": "allowed", "policies": ["Read"]}, ["expected Read to decide, got Write"]),
        ({"decision": "allowed", "policies": []}, ["expected no policy to decide, got Write"]),
    ],
)
def test_what_was_expected_is_held_against_what_came(expect: Any, failures: list[str]) -> None:
    (result,) = suite(case(expect=expect)).run(NOW)
    assert list(result.failures) == failures
    assert result.ok is (not failures)


MATRIX = {"agents": ["Ann", "Bob"], "actions": ["write", "read"], "resources": ["doc://1", "doc://secret/1"]}


def test_what_a_matrix_does_not_list_is_expected_denied() -> None:
    results = suite({"matrix": MATRIX, "expect": {}}).run(NOW)
    assert len(results) == 8
    unexpected = [(r.case.agent, r.case.action, r.case.resource) for r in results if not r.ok]
    assert unexpected == [
        ("Ann", "write", "doc://1"),
        ("Ann", "write", "doc://secret/1"),
        ("Bob", "read", "doc://1"),
        ("Bob", "read", "doc://secret/1"),
    ]


def test_a_matrix_lists_by_one_value_by_several_or_by_none() -> None:
    listed = {
        "pending_approval": [
            {"agent": "Ann", "action": "write", "resource": "doc://1", "policies": ["Guard", "Write"]}
        ],
        "allowed": [{"agent": ["Bob"], "action": ["read"], "resource": "doc://1"}],
        "denied": [{"resource": "doc://secret/1", "reasonCode": "policy_denied"}],
    }
    results = suite({"matrix": MATRIX, "expect": listed}, policies=[WRITE, READ, GUARD, NEVER]).run(NOW)
    assert [result.failures for result in results] == [()] * 8


def test_a_matrix_names_its_arguments() -> None:
    limited = {**WRITE, "arguments": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 9}}}}
    matrix = MATRIX | {"agents": ["Ann"], "actions": ["write"], "resources": ["doc://1"]}
    matrix["arguments"] = {"small": {"size": 9}, "large": {"size": 10}, "none": {}}
    results = suite({"matrix": matrix, "expect": {"allowed": [{"arguments": "small"}]}}, policies=[limited]).run(NOW)
    assert [(r.case.label, r.decision) for r in results] == [
        ("small", "allowed"),
        ("large", "denied"),
        ("none", "denied"),
    ]
    assert all(result.ok for result in results)


# --- what cannot be a suite ---


def test_all_faults_of_a_suite_are_told() -> None:
    document = {
        "now": "2026-11-23 10:00",
        "more": 1,
        "agents": [{"name": "Ann"}, {"name": "Ann"}, {"name": "Bob", "roles": "reader"}],
        "policies": [WRITE, {"name": "Bad", "actions": [], "resources": ["*"], "when": "1 +"}],
        "cases": [
            case(expect="maybe"),
            case(agent="Zoe", requester="Yan"),
            case(agent="Bob", expect={"decision": "allowed", "reasonCode": "because", "policies": ["Bad"]}),
            case(expect={"decision": "denied", "policies": ["Bad", "Unknown"]}),
            {"agent": "Ann"},
            3,
        ],
    }
    assert set(faults(document)) == {
        "/now",
        "/more",
        "/agents/1",
        "/agents/2/roles",
        "/policies/1/actions",
        "/policies/1/when",
        "/cases/0/expect",
        "/cases/1/agent",
        "/cases/1/requester",
        "/cases/2/expect/reasonCode",
        "/cases/3/expect/policies/1",
        "/cases/4/action",
        "/cases/4/resource",
        "/cases/4/expect",
        "/cases/5",
    }


@pytest.mark.parametrize(
    ("expect", "pointer"),
    [
        ({"allowed": [{"action": "wirte"}]}, "/cases/0/expect/allowed/0/action"),
        ({"allowed": [{"agent": ["Ann", "Zoe"]}]}, "/cases/0/expect/allowed/0/agent"),
        ({"denied": [{"arguments": "small"}]}, "/cases/0/expect/denied/0/arguments"),
        ({"allowed": [{"agent": []}]}, "/cases/0/expect/allowed/0/agent"),
        ({"allowed": [{"policies": ["Unknown"]}]}, "/cases/0/expect/allowed/0/policies/0"),
        ({"allowed": [{"agent": "Ann"}, {"action": "write"}]}, "/cases/0/expect/allowed/1"),
        ({"allowed": [{}], "denied": [{"agent": "Bob"}]}, "/cases/0/expect/denied/0"),
        ({"pending": []}, "/cases/0/expect/pending"),
    ],
)
def test_an_expectation_that_no_cell_can_meet_or_two_claim_is_a_fault(expect: Any, pointer: str) -> None:
    document = {"agents": AGENTS, "policies": [WRITE], "cases": [{"matrix": MATRIX, "expect": expect}]}
    assert set(faults(document)) == {pointer}


@pytest.mark.parametrize("document", [None, 3, [], "text"])
def test_something_else_is_no_suite(document: Any) -> None:
    assert faults(document)[""] == "Write an object."


def test_a_suite_without_policies_proves_nothing() -> None:
    assert set(faults({"agents": AGENTS, "cases": [case()]})) == {"/policies"}


def test_a_matrix_is_bounded() -> None:
    many = [f"doc://{n}" for n in range(10_001)]
    matrix = {"agents": ["Ann"], "actions": ["read", "write"], "resources": many}
    document = {"agents": AGENTS, "policies": [WRITE], "cases": [{"matrix": matrix}]}
    assert set(faults(document)) == {"/cases/0/matrix"}


def test_two_policies_of_one_id_are_a_fault() -> None:
    document = {"agents": AGENTS, "policies": [WRITE | {"id": "p"}, READ | {"id": "p"}], "cases": [case()]}
    assert set(faults(document)) == {"/policies/1"}


# --- YAML of one reading ---


def test_yaml_is_json_in_another_dress() -> None:
    text = (
        "a: 2026-11-22T18:00:00Z\nb: 2026-11-22\nc: no\nd: 012\ne: 12:30\nf: true\ng: null\nh:\n"
        "i: -3\nj: 1.5e3\nk: '7'\nl: [0x1f, .5, =, <<]\n"
    )
    assert read_yaml(text.encode()) == {
        "a": "2026-11-22T18:00:00Z",
        "b": "2026-11-22",
        "c": "no",
        "d": "012",
        "e": "12:30",
        "f": True,
        "g": None,
        "h": None,
        "i": -3,
        "j": 1500.0,
        "k": "7",
        "l": ["0x1f", ".5", "=", "<<"],
    }


@pytest.mark.parametrize(
    ("text", "pointer", "said"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", "/b/c", "Line 2: the key occurs twice"),
        ("a: [{b: 1}, {~: 1, '~': 2}]\n", "/a/1/~0", "occurs twice"),
        ("a: &x [1]\nb: *x\n", "", "aliases (*name) are not read"),
        ("a: !!python/object/apply:os.system [id]\n", "/a", "is not read"),
        ("a: !!timestamp 2026-11-22\n", "/a", "is not read"),
        ("? [1]\n: 2\n", "", "a key must be a text"),
        ("a: 1\n---\nb: 2\n", "", "expected a single document"),
        ("a: [1\n", "", "expected ',' or ']'"),
        ("a: 9007199254740992\n", "/a", "2^53"),
        ("a: 1e999\n", "/a", "not finite"),
        (f"a: {'9' * 5000}\n", "/a", "not finite"),
        ("a: \x07\n", "", "not YAML"),
        ("[" * 5000, "", "nested too deeply"),
        ("[" * 40 + "]" * 40, "/0" * 32, "Nesting"),
    ],
)
def test_yaml_that_could_be_read_in_two_ways_is_refused(text: str, pointer: str, said: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_yaml(text.encode())
    assert raised.value.faults[0].pointer == pointer
    assert said in raised.value.faults[0].message


def test_json_is_read_strictly_and_text_must_be_utf_8() -> None:
    with pytest.raises(Unreadable) as raised:
        read_json(b'{"a": 1, "a": 2}')
    assert raised.value.faults[0].pointer == "/a"
    with pytest.raises(Unreadable, match="UTF-8"):
        read_yaml(b"a: \xff")


# --- the command `test` ---


def test_the_example_is_as_expected(offline: Ctl) -> None:
    run = offline("policy", "test", EXAMPLES / "tasks.suite.yaml").ok()
    assert run.out.splitlines()[0].endswith("tasks.suite.yaml: 32 of 32 as expected")
    assert "FAILED" not in run.out
    assert run.err.splitlines()[-1] == "32 of 32 decisions are as expected."


def test_the_example_s_suite_notices_changed_policies(offline: Ctl, tmp_path: Path) -> None:
    write(tmp_path, "tasks.suite.yaml", (EXAMPLES / "tasks.suite.yaml").read_text("utf-8"))
    text = (EXAMPLES / "tasks.yaml").read_text("utf-8")
    for before, after, failed in (
        ("maximum: 500", "maximum: 501", 1),
        ("actions: [delete]", "actions: [remove]", 4),
        ("requiresApproval: true", "requiresApproval: false", 1),
        ("09:00-17:00 UTC", "09:00-21:00 UTC", 1),
        ("roles: [planner]", "roles: [planner, executor]", 2),
    ):
        assert before in text
        write(tmp_path, "tasks.yaml", text.replace(before, after, 1))
        run = offline("policies", "test", "tasks.suite.yaml", "-o", "json")
        assert run.code == 1, after
        assert run.json()["suites"][0]["failed"] == failed, after


def test_a_report_in_json_says_everything(offline: Ctl, tmp_path: Path) -> None:
    path = write(tmp_path, "s.yaml", {"agents": AGENTS, "policies": [WRITE], "cases": [case(), case(action="read")]})
    run = offline("policies", "test", path, "-o", "json")
    assert run.code == 1
    report = run.json()
    assert report["ok"] is False
    (told,) = report["suites"]
    assert (told["file"], told["passed"], told["failed"]) == (str(path), 1, 1)
    good, bad = told["cases"]
    assert (good["ok"], good["failures"], good["policies"]) == (True, [], ["Write"])
    assert bad["pointer"] == "/cases/1"
    assert (bad["decision"], bad["reasonCode"], bad["expected"]) == (
        "denied",
        "no_matching_policy",
        {"decision": "allowed"},
    )
    assert bad["failures"] == ["expected allowed, got denied (no_matching_policy)"]


def test_a_matrix_shows_only_what_failed_unless_asked(offline: Ctl, tmp_path: Path) -> None:
    listed = {"allowed": [{"agent": "Ann", "action": "write"}]}
    path = write(
        tmp_path,
        "s.yaml",
        {"agents": AGENTS, "policies": [WRITE, READ], "cases": [{"matrix": MATRIX, "expect": listed}]},
    )
    run = offline("policies", "test", path)
    assert run.code == 1
    assert [line for line in run.out.splitlines() if "doc://1" in line and line.startswith(("ok", "FAILED"))] == [
        "FAILED      Bob read doc://1"
    ]
    assert "expected denied, got allowed (allowed)" in run.out
    assert "ok          Ann write doc://1: allowed (allowed)" in offline("policies", "test", path, "-v").out


def test_a_tree_on_a_terminal(offline: Ctl, tmp_path: Path) -> None:
    bad = case(action="read", case="[bold]not markup[/bold] \x1b[2J")
    path = write(tmp_path, "s.yaml", {"agents": AGENTS, "policies": [WRITE], "cases": [case(), bad]})
    code, shown = on_a_terminal(offline, "policies", "test", str(path), NO_COLOR="1", COLUMNS="200")
    assert code == 1
    assert f"✗ {path}: 1 of 2 as expected" in shown
    assert "├── ✓ Ann write doc://1: allowed (allowed)" in shown
    assert "└── ✗ [bold]not markup[/bold] \\u001b[2J" in shown
    assert "├── expected allowed, got denied (no_matching_policy)" in shown


def test_a_junit_report(offline: Ctl, tmp_path: Path) -> None:
    bad = case(action="read", case="a \x1b[31mcase\x00 <&>")
    path = write(tmp_path, "s.yaml", {"agents": AGENTS, "policies": [WRITE], "cases": [case(), bad]})
    assert offline("policies", "test", path, "--junit", "report.xml").code == 1
    root = ElementTree.fromstring((tmp_path / "report.xml").read_bytes())
    (element,) = root.findall("testsuite")
    assert (element.get("tests"), element.get("failures")) == ("2", "1")
    good, failed = element.findall("testcase")
    assert good.find("failure") is None
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected allowed, got denied (no_matching_policy)"
    assert failed.get("name") == "a \\u001b[31mcase\\u0000 <&>"


def test_an_unusable_file_is_2_and_all_faults_have_file_and_pointer(offline: Ctl, tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", {"agents": AGENTS, "policies": [WRITE], "cases": [case(agent="Zoe")]})
    two = write(tmp_path, "two.yaml", "a: 1\na: 2\n")
    write(tmp_path, "bad.yaml", [{"name": "Bad", "actions": ["x"], "resources": ["*"], "bogus": 1}])
    document = {"agents": AGENTS, "files": ["bad.yaml", "missing.yaml"], "cases": [case()]}
    three = write(tmp_path, "three.yaml", document)
    run = offline("policies", "test", one, two, three, EXAMPLES / "tasks.suite.yaml")
    assert (run.code, run.out) == (2, "")
    assert [line.split(": ")[1:3] for line in run.err.splitlines()] == [
        [str(one), "/cases/0/agent"],
        [str(two), "/a"],
        [str(tmp_path / "bad.yaml"), "/0/bogus"],
        [str(three), "/files/1"],
    ]
    assert offline("policies", "test", "nowhere.yaml").code == 2


def test_help_needs_neither_yaml_nor_the_engine(offline: Ctl) -> None:
    script = "import sys; from act.cli.app import run; code = run(); print(*sys.modules); sys.exit(code)"
    for command in ("test", "lint", "diff"):
        done = subprocess.run(
            [sys.executable, "-c", script, "policy", command, "--help"],
            capture_output=True,
            text=True,
            env=offline.environment,
            timeout=60,
        )
        assert done.returncode == 0
        assert not {"yaml", "pydantic", "jsonschema_rs", "rich"} & set(done.stdout.split())


# --- the command `lint` ---


def test_lint_tells_all_faults_and_warnings(offline: Ctl, tmp_path: Path) -> None:
    written = [
        {"name": "Bad", "actions": [], "resources": ["*"], "bogus": 1, "when": "1 +"},
        WRITE | {"id": "p", "resources": ["doc://../x"]},
        {"id": "p", "name": "Everybody", "actions": ["read"], "resources": ["doc://secret/1"]},
        NEVER,
    ]
    path = write(tmp_path, "p.yaml", {"about": "Several.", "policies": written})
    run = offline("policies", "lint", path, "-o", "json")
    assert run.code == 1
    assert {(row["level"], row["pointer"], row["code"]) for row in run.json()} == {
        ("fault", "/policies/0/actions", "document_invalid"),
        ("fault", "/policies/0/bogus", "document_invalid"),
        ("fault", "/policies/0/when", "document_invalid"),
        ("fault", "/policies/2/id", "policy_id_taken"),
        ("warning", "/policies/1", "never_matches"),
        ("warning", "/policies/2", "applies_to_everybody"),
        ("warning", "/policies/2", "shadowed_by_deny"),
    }
    assert {row["file"] for row in run.json()} == {str(path)}


def test_lint_is_strict_when_asked(offline: Ctl, tmp_path: Path) -> None:
    good = write(tmp_path, "good.json", json.dumps(WRITE))
    warned = write(tmp_path, "warned.yaml", WRITE | {"resources": ["doc://../x"]})
    assert "nothing to say" in offline("policy", "lint", good, "--strict").ok().err
    assert "never_matches" in offline("policy", "lint", warned).ok().out
    assert offline("policy", "lint", good, warned, "--strict").code == 1
    assert offline("policy", "lint", EXAMPLES / "tasks.yaml", "--strict").code == 0


@pytest.mark.parametrize("text", ["", "3", "[]", "policies: []", "policies: {}", "a: [", "name: x"])
def test_a_file_without_a_policy_is_a_fault(offline: Ctl, tmp_path: Path, text: str) -> None:
    run = offline("policies", "lint", write(tmp_path, "p.yaml", text), "-o", "json")
    assert run.code == 1
    assert {row["level"] for row in run.json()} == {"fault"}


def test_a_bundle_keeps_the_good_beside_the_bad() -> None:
    found = read_bundle([WRITE, 3, READ])
    assert [policy.draft.name for policy in found.policies] == ["Write", "Read"]
    assert [fault.pointer for fault in found.faults] == ["/1"]


# --- what docs/testing-policies.md shows ---


def test_the_examples_of_the_docs_can_be_run() -> None:
    text = (EXAMPLES.parents[1] / "docs" / "testing-policies.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    policies, single, matrix = (read_yaml(block.encode()) for block in blocks)
    assert read_bundle(policies).faults == []
    whole = read_bundle(read_yaml((EXAMPLES / "tasks.yaml").read_bytes())).policies
    agents = read_yaml((EXAMPLES / "tasks.suite.yaml").read_bytes())["agents"]
    suite = read_suite({"agents": agents, "cases": [*single, *matrix]}, whole)
    assert [result.failures for result in suite.run(NOW)] == [()] * 5


# --- with a server ---


def test_the_server_decides_as_the_suite_expects(server: Server) -> None:
    document = read_yaml((EXAMPLES / "tasks.suite.yaml").read_bytes())
    policies = read_yaml((EXAMPLES / "tasks.yaml").read_bytes())["policies"]
    drafts = read_bundle(policies).policies
    over = OverHttp(server)
    for agent in document["agents"]:
        over.register(agent)
    for policy in policies:
        over.write(policy)
    results = read_suite({**document, "files": []}, drafts).run(NOW)
    asked = 0
    for result in results:
        one = result.case
        if one.action == "pay" and one.agent == "Executor Agent":
            continue  # depends on the hour, and the server has its own clock
        more = {"arguments": dict(one.arguments), "context": dict(one.context)}
        answer = over.ask(Bearer(({"agent": one.agent},)), one.action, one.resource, one.requester, None, **more)
        assert (answer.decision, answer.reason_code, sorted(answer.policies)) == (
            result.decision,
            result.code,
            sorted(result.policies),
        ), one
        asked += 1
    over.clean()
    assert asked >= 25


def test_diff_tells_new_changed_and_same(ctl: Ctl) -> None:
    name = f"Policy {uuid4().hex}"
    draft = WRITE | {"name": name, "constraints": {"maxConcurrentTasks": 2}}
    path = write(ctl.folder, f"{uuid4().hex}.yaml", [draft])
    (new,) = ctl.json("policies", "diff", path)
    assert (new["kind"], new["id"]) == ("new", None)
    assert ctl("policies", "diff", path, "--exit-code").code == 1

    made = ctl.json("policies", "create", write(ctl.folder, f"{uuid4().hex}.json", json.dumps(draft)))
    (same,) = ctl.json("policies", "diff", path, "--exit-code")
    assert (same["kind"], same["id"], same["changes"]) == ("same", made["id"], [])

    write(ctl.folder, path.name, [draft | {"actions": ["write", "read"], "constraints": {"maxConcurrentTasks": 3}}])
    (changed,) = ctl.json("policies", "diff", path)
    assert changed["kind"] == "changed"
    assert changed["changes"] == [
        {"pointer": "/actions", "before": ["write"], "after": ["write", "read"]},
        {"pointer": "/constraints/maxConcurrentTasks", "before": 2, "after": 3},
    ]
    told = ctl("policies", "diff", path).ok().out.splitlines()
    assert told[0] == f"changed: {name} ({made['id']} v1)"
    assert told[1:4] == ["  /actions", '    - ["write"]', '    + ["write", "read"]']
    assert ctl.json("policies", "show", made["id"])["version"] == 1


def test_diff_against_a_policy_and_against_a_name_that_is_ambiguous(ctl: Ctl) -> None:
    draft = WRITE | {"name": f"Policy {uuid4().hex}"}
    path = write(ctl.folder, f"{uuid4().hex}.json", json.dumps(draft))
    first, second = (ctl.json("policies", "create", path) for _ in range(2))
    ambiguous = ctl("policies", "diff", path)
    assert ambiguous.code == 1
    assert first["id"] in ambiguous.err
    (same,) = ctl.json("policies", "diff", path, "--against", second["id"])
    assert (same["kind"], same["id"]) == ("same", second["id"])
    assert "(not_found, 404)" in ctl("policies", "diff", path, "--against", "nowhere").err
    assert ctl("policies", "diff", EXAMPLES / "tasks.yaml", "--against", second["id"]).code == 2


def test_diff_knows_that_a_policy_stays_bound_as_it_was(ctl: Ctl) -> None:
    role = f"role{uuid4().hex}"
    ctl("agents", "create", f"agent {role}", "--role", role).ok()
    draft = {"name": f"{role} rights", "actions": ["read"], "resources": ["doc://*"]}
    path = write(ctl.folder, f"{uuid4().hex}.json", json.dumps(draft))
    (new,) = ctl.json("policies", "diff", path)
    assert {"pointer": "/binding", "before": None, "after": "inferred"} in new["changes"]
    ctl("policies", "create", path).ok()
    (same,) = ctl.json("policies", "diff", path)
    assert (same["kind"], same["changes"]) == ("same", [])


def test_diff_refuses_a_faulty_file(ctl: Ctl) -> None:
    path = write(ctl.folder, f"{uuid4().hex}.yaml", [WRITE | {"bogus": 1}])
    run = ctl("policies", "diff", path)
    assert run.code == 2
    assert "/0/bogus: Unknown field." in run.err
