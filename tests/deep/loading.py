"""The two ways by which text of authors comes to decide something, as a function each of bytes.

Both say whether the bytes were accepted. Whatever else than the declared refusals comes out of them is a fault of ACT.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from act import strict_json
from act.agents.agent import Agent
from act.enforcement.decide import decide
from act.models import PolicyDraft
from act.policies.conditions import ConditionFault, compile_condition
from act.policies.constraints import from_stored
from act.policies.draft import bind, document, warnings
from act.policies.index import PolicyIndex
from act.policies.match import Call
from act.policies.policy import CompiledPolicy, compile_policy
from act.problems import ProblemError, faults_of_validation
from act.strict_json import Fault
from act.tokens.chain import alone

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 2.0
"""Processor time for one input: far above what any takes."""

GOOD = {
    "name": "Executor Capabilities",
    "effect": "allow",
    "actions": ["execute", "update*"],
    "resources": ["api://tasks/*"],
    "appliesTo": {"roles": ["executor"], "agentIds": ["a1"]},
    "arguments": {"type": "object", "properties": {"n": {"type": "number", "maximum": 5}}, "required": ["n"]},
    "when": "args.n < 5 && context.env == 'prod'",
    "constraints": {
        "requiresApproval": {"approvers": 2, "expiresIn": 60},
        "maxConcurrentTasks": 5,
        "leaseSeconds": 60,
        "allowedHours": {"from": "09:00", "to": "17:00", "timezone": "UTC", "days": ["mon"]},
        "allowedDomains": ["example.com", "*.example.org"],
        "maxRows": 10,
        "maxDataPoints": 10,
    },
    "mode": "enforce",
    "enabled": True,
    "validFrom": "2026-01-01T00:00:00Z",
    "validUntil": "2027-01-01T00:00:00+01:00",
}

AGENT = Agent("a1", "Executor", ("executor",), "active", 0)
CALL = Call(
    "execute",
    "api://tasks/1",
    datetime(2026, 11, 22, 18, 30, tzinfo=UTC),
    {"n": 4, "amount": 5.5, "to": ["a@example.com"], "url": "https://example.com/é", "list": [1, "a", None], "map": {}},
    {"env": "prod", "rows": 3, "domain": "example.com", "text": "é" * 99},
)


class TooSlow(AssertionError):
    pass


def load(written: Any) -> CompiledPolicy:
    """The way of a document through the service, without the database.

    Raises:
        ValidationError, ProblemError: it is refused.
    """
    draft = PolicyDraft.model_validate(written)
    bound = bind(draft, (), require_binding=False)
    stored = document(draft, bound)
    warnings(draft, bound, [], [])
    return compile_policy(
        id="p",
        name=draft.name,
        version=1,
        effect=draft.effect,
        audience=bound.audience,
        actions=stored["actions"],
        resources=stored["resources"],
        constraints=from_stored(stored["constraints"]),
        arguments=stored["arguments"],
        when=stored["condition"],
    )


def loaded_or_faults(written: Any) -> tuple[CompiledPolicy | None, Sequence[Fault]]:
    """The policy, or None and why it is refused."""
    try:
        return load(written), ()
    except ValidationError as error:
        return None, faults_of_validation(error, written)
    except ProblemError as problem:
        return None, problem.faults if problem.status == 422 else ()


def policy(data: bytes) -> bool:
    """Bytes of a request as a policy; what is accepted decides a call."""
    try:
        written = strict_json.loads(data)
    except (strict_json.MalformedJson, strict_json.AmbiguousJson):
        return False
    loaded, faults = loaded_or_faults(written)
    if loaded is None:
        assert faults, "a refusal says where"
        return False
    decide(PolicyIndex([loaded]), alone(AGENT), CALL)
    return True


def condition(data: bytes) -> bool:
    """Text as a condition; what compiles is evaluated."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    compiled = compile_condition(text)
    if isinstance(compiled, ConditionFault):
        assert compiled.message, "a refusal says why"
        return False
    fields = ("token", "action", "resource", "context", "session", "now")
    variables = {name: getattr(CALL, name) for name in fields} | {"args": CALL.arguments}
    agent = {"id": AGENT.id, "name": AGENT.name, "roles": list(AGENT.roles), "metadata": {}}
    compiled.evaluate(variables | {"agent": agent})
    return True


TARGETS: dict[str, Callable[[bytes], bool]] = {"policy": policy, "condition": condition}


def timed(target: Callable[[bytes], bool], data: bytes) -> bool:
    """Raises TooSlow after what took too long."""
    began = time.thread_time()
    accepted = target(data)
    if (taken := time.thread_time() - began) > SECONDS:
        raise TooSlow(f"It took {taken:.1f} seconds.")
    return accepted


def _policies(tree: Any) -> Iterator[dict[str, Any]]:
    """Everything in a document of ours that is written like a policy."""
    if isinstance(tree, dict):
        if "name" in tree and "actions" in tree:
            yield tree
        else:
            for inner in tree.values():
                yield from _policies(inner)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _policies(inner)


def seeds(name: str) -> list[bytes]:
    """What the templates and the conformance tables have, for one of the targets; each once."""
    files = [*(ROOT / "src/act/templates").glob("*.yaml"), *(ROOT / "tests/conformance").glob("*.yaml")]
    found = [policy for file in sorted(files) for policy in _policies(yaml.safe_load(file.read_text()))] + [GOOD]
    if name == "condition":
        texts = {policy["when"] for policy in found if isinstance(policy.get("when"), str)}
    else:
        texts = {json.dumps(policy, ensure_ascii=False, separators=(",", ":"), default=str) for policy in found}
    # Long ones make every step of a search slow.
    return [text.encode() for text in sorted(texts) if len(text) <= 2048]


_CEL = (
    *("agent.id", "agent.roles", "token.facts", "token.task", "args.", "context.", "session.labels", "now", "action"),
    *("resource", "size(", "has(", "all(x,", "exists(x,", "exists_one(x,", "map(x,", "filter(x,", "matches(", " in "),
    *("startsWith(", "contains(", "timestamp(", "duration(", "int(", "double(", "string(", "getHours(", "? ", " : "),
    *("&&", "||", "==", "!=", "<=", "'a'", "[1,2]", "{'a':1}", "9223372036854775807", "1e308", "b'\\xff'", "r'", "0u"),
)
_JSON = (
    *(f'"{key}"' for key in (*GOOD, *GOOD["constraints"], "roles", "agentIds", "from", "to", "days", "timezone")),  # type: ignore[misc]
    *('"$ref":"#/$defs/a"', '"$defs"', '"properties"', '"required"', '"additionalProperties"', '"type"', '"pattern"'),
    *('"allOf"', '"anyOf"', '"oneOf"', '"not"', '"if"', '"const"', '"enum"', '"items"', '"format"', '"multipleOf"'),
    *("true", "false", "null", "1e308", "-0.0", "9007199254740991", '"deny"', '"shadow"', '"*"', "{}", "[]"),
    '"\\ud800"',
)


def words(name: str) -> str:
    """A dictionary for libFuzzer: a quoted word a line."""
    chosen = _CEL if name == "condition" else _JSON
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in chosen)
    return "".join(f'"{word}"\n' for word in quoted)
