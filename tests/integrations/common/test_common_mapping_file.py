"""The mapping of tools as a file, and which of the ways to say what a tool stands for goes first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from act.integrations import ToolSpec, act_tool, load_tools
from act.integrations.base import GuardBase

YAML = """
tools:
  send_mail: {action: send, resource: "mail://{to}"}
  read_page:
    action: read
    resource: web://{page}
    labels: [untrusted]
  add: {labels: []}
"""
SPECS = {
    "send_mail": ToolSpec("send", "mail://{to}"),
    "read_page": ToolSpec("read", "web://{page}", ["untrusted"]),
    "add": ToolSpec(labels=[]),
}


class Guard(GuardBase):
    framework = "none"


class Nobody:
    """An `Act` that is not asked."""

    def enforce(self, *_: Any) -> None: ...


def written(folder: Path, text: str, name: str = "tools.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_yaml_and_json(tmp_path: Path) -> None:
    assert load_tools(written(tmp_path, YAML)) == SPECS
    document = {"tools": {"send_mail": {"action": "send", "resource": "mail://{to}"}}}
    assert load_tools(written(tmp_path, json.dumps(document), "tools.json")) == {"send_mail": SPECS["send_mail"]}
    assert load_tools(str(written(tmp_path, "tools: {}"))) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "one member"),
        ("[]", "one member"),
        ("tools: []", "one member"),
        ("tools: {}\nmore: {}", "one member"),
        ("tools: {a: {acton: send}}", "tool 'a'"),
        ("tools: {a: null}", "tool 'a'"),
        ("tools: {a: {action: 1}}", "action"),
        ("tools: {a: {action: ''}}", "action"),
        ("tools: {a: {resource: null}}", "resource"),
        ("tools: {a: {resource: 'x://{a.b}'}}", "tool 'a'"),
        ("tools: {a: {labels: untrusted}}", "labels"),
        ("tools: {a: {labels: null}}", "labels"),
        ("tools: {a: {labels: [1]}}", "tool 'a'"),
        ("tools: {1: {}}", "name of a tool"),
        ("tools: {a: {}, a: {action: send}}", "twice"),
        ("tools: {a: {action: send, action: read}}", "twice"),
        ("tools: {a: {[b]: c}}", "tools.yaml"),
        ("tools: !!python/object/apply:os.getcwd []", "not YAML"),
        ("tools: {", "not YAML"),
    ],
)
def test_what_could_be_overlooked_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        load_tools(written(tmp_path, text))
    assert "tools.yaml" in str(refused.value)


@pytest.mark.parametrize(
    "text", ['{"tools": {"a": {}, "a": {}}}', "{", '{"tools": {"a": {"action": "x", "action": "y"}}}']
)
def test_json_too(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"tools\.json"):
        load_tools(written(tmp_path, text, "tools.json"))


def test_which_goes_first(tmp_path: Path) -> None:
    @act_tool(action="marked")
    def tool() -> None: ...

    file = written(tmp_path, "tools: {tool: {action: filed}}")
    resources, tools = {"tool": "x://resourced"}, {"tool": ("tooled", "x://tooled")}
    act: Any = Nobody()
    assert Guard(act, {}).spec_named("tool") == ToolSpec()
    assert Guard(act, {}).spec_named("tool", None, ToolSpec("otherwise")).action == "otherwise"
    assert Guard(act, {}).spec_named("tool", tool, ToolSpec("otherwise")).action == "marked"
    assert Guard(act, {}, mapping=file).spec_named("tool", tool).action == "filed"
    assert Guard(act, {}, mapping=file, resources=resources).spec_named("tool", tool) == ToolSpec(
        "call", "x://resourced"
    )
    both = Guard(act, {}, mapping=file, resources=resources, tools=tools)
    assert both.spec_named("tool", tool) == ToolSpec("tooled", "x://tooled")


def test_what_is_common_imports_no_framework() -> None:
    """Frameworks are extras: `act.integrations` and its core work without any of them."""
    frameworks = ("autogen", "autogen_agentchat", "autogen_core", "agent_framework", "ag2", "yaml")
    script = (
        "import sys, act.integrations, act.integrations.base, act.integrations.core\n"
        f"print([name for name in {frameworks!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
