"""For the tests of those who use ACT: `from act.testing import FakeAct`."""

from __future__ import annotations

from act.client.testing import FakeAct

__all__ = ["FakeAct"]
