"""AutoGen classic with a guard that does nothing, to see that the cases notice; and a case without an end."""

from __future__ import annotations

import threading
from typing import Any

from tests.integrations.suite.cases import CASES, Case, Table
from tests.integrations.suite.drivers.autogen import Classic

from act.integrations.base import GuardBase


class IdleGuard(GuardBase):
    framework = "autogen"

    def protect(self, *agents: Any) -> IdleGuard:
        return self


class WithoutGuard(Classic):
    guard_class = IdleGuard


def a_team_without_an_end(table: Table) -> None:
    threading.Event().wait()


CASES[a_team_without_an_end.__name__] = Case(a_team_without_an_end.__name__, a_team_without_an_end)
driver = WithoutGuard()
