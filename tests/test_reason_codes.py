"""The documented list of reason codes is the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from act.models import ReasonCode, Verdict

DOCUMENT = Path(__file__).parent.parent / "docs" / "reason-codes.md"
ROWS = [line.strip("|").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]


def test_every_code_is_documented_once_and_no_other() -> None:
    documented = [re.sub(r"[` |]", "", row[0]) for row in ROWS]
    assert sorted(documented) == sorted(str(code) for code in ReasonCode)


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip(" `") for row in ROWS])
def test_every_row_says_what_and_why_and_what_to_do(row: list[str]) -> None:
    code, decision, meaning, action = (cell.strip() for cell in row)
    word = {"`allowed`": Verdict.ALLOWED, "`approval_required`": Verdict.PENDING_APPROVAL}.get(code, Verdict.DENIED)
    assert decision == f"`{word}`"
    assert meaning.endswith(".")
    assert action.endswith(".")
