"""Constraints have one normal form, and what is stored is read back or refused (2-semantics, "Constraints")."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from act import models
from act.policies.constraints import ConcurrencyTerms, Constraints, from_stored, from_wire
from act.policies.demands import ApprovalTerms, Demand


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ({}, Constraints()),
        ({"requiresApproval": None, "maxConcurrentTasks": None}, Constraints()),
        ({"requiresApproval": False}, Constraints()),
        ({"requiresApproval": True}, Constraints(ApprovalTerms((Demand(1),), 900))),
        ({"requiresApproval": {}}, Constraints(ApprovalTerms((Demand(1),), 900))),
        ({"requiresApproval": {"approvers": 2, "expiresIn": 60}}, Constraints(ApprovalTerms((Demand(2),), 60))),
        (
            {"requiresApproval": {"approvers": 2, "from": ["legal", "finance", "legal"]}},
            Constraints(ApprovalTerms((Demand(2, frozenset(["finance", "legal"])),), 900)),
        ),
        ({"maxConcurrentTasks": 5}, Constraints(None, ConcurrencyTerms(5, 300))),
        ({"maxConcurrentTasks": 0}, Constraints(None, ConcurrencyTerms(0, 300))),
        ({"maxConcurrentTasks": 5, "leaseSeconds": 7}, Constraints(None, ConcurrencyTerms(5, 7))),
    ],
)
def test_the_normal_form(written: dict[str, Any], normal: Constraints) -> None:
    assert from_wire(models.Constraints.model_validate(written)) == normal
    assert from_stored(written) == normal


def test_nothing_written_is_no_constraint() -> None:
    assert from_wire(None) == Constraints()


@pytest.mark.parametrize(
    "stored",
    [
        {"maxconcurrenttasks": 5},
        {"max_concurrent_tasks": 5},
        {"maxCurrentTasks": 5},
        {"maxConcurrentTasks": "5"},
        {"maxConcurrentTasks": 5.0},
        {"maxConcurrentTasks": True},
        {"maxConcurrentTasks": -1},
        {"leaseSeconds": 10},
        {"maxConcurrentTasks": 5, "leaseSeconds": 0},
        {"requiresApproval": "true"},
        {"requiresApproval": 1},
        {"requiresApproval": []},
        {"requiresApproval": {"approvers": 0}},
        {"requiresApproval": {"approvers": 17}},
        {"requiresApproval": {"expiresIn": 0}},
        {"requiresApproval": {"from": []}},
        {"requiresApproval": {"from": [""]}},
        {"requiresApproval": {"from": "legal"}},
        {"requiresApproval": {"from_": ["legal"]}},
        {"requiresApproval": {"people": 2}},
    ],
)
def test_what_is_not_understood_is_an_error_and_never_no_constraint(stored: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        from_stored(stored)
