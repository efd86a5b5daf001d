"""What is shown while the demonstration runs: the calls of its operator, and one row a decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from act.models import Decision, Verdict

_STYLE = {Verdict.ALLOWED: "bold green", Verdict.DENIED: "bold red", Verdict.PENDING_APPROVAL: "bold yellow"}
_COLUMNS = (("agent", 10), ("asked by", 10), ("action", 8), ("resource", 26), ("decision", 17), ("reason code", 24))


class Stage:
    """Prints to the terminal it was made on, whatever standard output is turned to meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def heading(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold", highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, highlight=False, soft_wrap=True)

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """One call of the operator, as it goes over the wire."""
        self.say(f"  {method} {path} {json.dumps(body)}", "dim")

    def columns(self) -> None:
        self.say("  " + " ".join(name.ljust(width) for name, width in _COLUMNS), "underline")

    def decision(self, decision: Decision, agent: str, asker: str, action: str, resource: str) -> None:
        """One row, as the decision is made."""
        values = (agent, asker, action, resource, str(decision.decision), str(decision.reason_code))
        row = Text("  ")
        for value, (name, width) in zip(values, _COLUMNS, strict=True):
            row.append(f"{value:<{width}} ", style=_STYLE[decision.decision] if name == "decision" else "")
        self._console.print(row, soft_wrap=True)

    def aside(self, text: str) -> None:
        """What a person does in between."""
        self.say(f"    -> {text}", "cyan")
