"""Tampering with an exported log is found (2-semantics, "Audit"; 6-threats, "Audit")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.audit.merkle import frontier_of, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.record import encode
from act.audit.verify import Finding, Line, verify

SIZE = 9
ORIGIN = "urn:act:test/audit/t1"


def record(index: int, **more: Any) -> dict[str, Any]:
    """One with every kind of field that a decision's record has."""
    return {
        "v": 1,
        "index": index,
        "tenantId": "t1",
        "kind": "decision",
        "at": "2026-11-22T18:00:00.000Z",
        "decisionId": f"dec_{index}",
        "requestId": f"req-{index}",
        "keyId": "key_1",
        "agentId": "agt_1",
        "chain": ["agt_1"],
        "action": "execute",
        "resourceId": f"api://tasks/{index}",
        "argumentsHash": "00" * 32,
        "policies": [{"id": "pol_1", "version": 3, "effect": "allow"}],
        "decision": "allowed",
        "reasonCode": "allowed",
        "reason": "Allowed by policy 'Executor' v3.",
        "dryRun": True,
        "revision": 40 + index,
        "latencyMicros": 812,
    } | more


def lines_of(records: list[dict[str, Any]]) -> list[Line]:
    return [Line(r["index"], leaf_hash(encode(r)).hex(), r) for r in records]


def checkpoint_of(lines: list[Line], size: int | None = None) -> Checkpoint:
    kept = lines if size is None else lines[:size]
    return Checkpoint(ORIGIN, len(kept), frontier_of(bytes.fromhex(line.leaf_hash) for line in kept).root())


LINES = lines_of([record(index) for index in range(SIZE)])
HEAD = checkpoint_of(LINES)


def found_at(finding: Finding, index: int | None, words: str) -> None:
    assert not finding.ok
    assert finding.bad_index == index
    assert words in finding.message


@given(st.lists(st.integers(0, SIZE), max_size=4))
def test_an_honest_log_passes_with_every_checkpoint_it_ever_signed(sizes: list[int]) -> None:
    finding = verify(LINES, [checkpoint_of(LINES, size) for size in sizes])
    assert finding == Finding(True, SIZE, HEAD.root, "9 records verified.")


def test_the_empty_log() -> None:
    assert verify([], [checkpoint_of([])]).ok
    assert verify([]) == Finding(True, 0, checkpoint_of([]).root, "0 records verified.")


@pytest.mark.parametrize("name", sorted(record(0)))
@pytest.mark.parametrize("index", [0, 4, SIZE - 1])
def test_no_field_can_be_edited(name: str, index: int) -> None:
    edits = {str: "x", int: -1, bool: False, list: []}
    edited = dict(LINES[index].record)
    edited[name] = edits[type(edited[name])]
    lines = [*LINES]
    lines[index] = replace(LINES[index], record=edited)
    found_at(verify(lines), index, "says that its index" if name == "index" else "was changed")


@pytest.mark.parametrize("name", sorted(set(record(0)) - {"index"}))
def test_no_field_can_be_left_out(name: str) -> None:
    lines = [*LINES]
    lines[4] = replace(LINES[4], record={key: value for key, value in LINES[4].record.items() if key != name})
    found_at(verify(lines), 4, "was changed")


def test_no_field_can_be_added() -> None:
    lines = [*LINES]
    lines[4] = replace(LINES[4], record=record(4, note="harmless"))
    found_at(verify(lines), 4, "was changed")


def test_a_nested_field_cannot_be_edited() -> None:
    lines = [*LINES]
    lines[4] = replace(LINES[4], record=record(4, policies=[{"id": "pol_1", "version": 4, "effect": "allow"}]))
    found_at(verify(lines), 4, "was changed")


@pytest.mark.parametrize("name", sorted(set(record(0)) - {"index"}))
def test_an_edit_with_a_new_leaf_hash_is_found_by_a_checkpoint(name: str) -> None:
    records = [dict(line.record) for line in LINES]
    records[4][name] = {str: "x", int: -1, bool: False, list: []}[type(records[4][name])]
    found_at(verify(lines_of(records), [HEAD]), None, "are not those that the checkpoint")


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 7), (0, SIZE - 1)])
def test_two_records_cannot_be_swapped(one: int, other: int) -> None:
    lines = [*LINES]
    lines[one], lines[other] = lines[other], lines[one]
    found_at(verify(lines), one, f"Record {one} is missing; index {other} stands in its place.")


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 7)])
def test_two_records_cannot_be_swapped_and_numbered_anew(one: int, other: int) -> None:
    lines = [*LINES]
    lines[one], lines[other] = replace(LINES[other], index=one), replace(LINES[one], index=other)
    found_at(verify(lines), one, f"says that its index is {other}")
    records = [dict(line.record) for line in LINES]
    records[one], records[other] = records[other] | {"index": one}, records[one] | {"index": other}
    found_at(verify(lines_of(records), [HEAD]), None, "are not those that the checkpoint")


@pytest.mark.parametrize("at", [0, 4])
def test_no_record_can_be_inserted(at: int) -> None:
    new = lines_of([record(at, decisionId="dec_new")])
    lines = [*LINES[:at], *new, *LINES[at:]]
    found_at(verify(lines), at + 1, f"Record {at + 1} is missing; index {at} stands in its place.")
    renumbered = lines_of([dict(line.record) | {"index": index} for index, line in enumerate(lines)])
    found_at(verify(renumbered, [HEAD]), None, "are not those that the checkpoint")


def test_what_comes_after_a_checkpoint_is_how_a_log_grows() -> None:
    assert verify([*LINES, *lines_of([record(SIZE)])], [HEAD]).ok


@pytest.mark.parametrize("at", [0, 4, SIZE - 2])
def test_no_record_can_be_dropped_from_the_middle(at: int) -> None:
    lines = [*LINES[:at], *LINES[at + 1 :]]
    found_at(verify(lines), at, f"Record {at} is missing; index {at + 1} stands in its place.")
    renumbered = lines_of([dict(line.record) | {"index": index} for index, line in enumerate(lines)])
    found_at(verify(renumbered, [checkpoint_of(LINES, SIZE - 1)]), None, "are not those that the checkpoint")


@pytest.mark.parametrize("dropped", [1, 4, SIZE])
def test_the_tail_cannot_be_dropped_from_under_a_checkpoint(dropped: int) -> None:
    lines = LINES[: SIZE - dropped]
    assert verify(lines).ok, "alone, a shorter log proves itself; that is what checkpoints are for"
    words = f"The log ends after {SIZE - dropped} records, but a checkpoint saw {SIZE}: its tail is missing."
    found_at(verify(lines, [HEAD]), SIZE - dropped, words)
    found_at(verify(lines, [checkpoint_of(LINES, 0), HEAD]), SIZE - dropped, words)


@pytest.mark.parametrize("since", [1, 5, SIZE - 1])
def test_a_fork_is_found_by_the_checkpoint_of_the_other_branch(since: int) -> None:
    branch = [*LINES[:since], *lines_of([record(index, keyId="key_2") for index in range(since, SIZE)])]
    assert verify(branch, [checkpoint_of(LINES, since)]).ok
    found_at(verify(branch, [HEAD]), None, "are not those that the checkpoint")
    found_at(verify(branch, [checkpoint_of(branch), checkpoint_of(LINES, since + 1)]), None, "are not those")


def test_an_old_checkpoint_beside_a_newer_one_is_still_held_against_the_log() -> None:
    other = lines_of([record(index, keyId="key_2") for index in range(SIZE)])
    found_at(verify(other, [checkpoint_of(other), checkpoint_of(LINES, 3)]), None, "The first 3 records")


def test_two_checkpoints_of_one_size_are_both_held_against_the_log() -> None:
    """A forked log signs twice for one size; neither order may hide the other branch."""
    other = checkpoint_of(lines_of([record(index, keyId="key_2") for index in range(SIZE)]))
    for checkpoints in ([HEAD, other], [other, HEAD]):
        found_at(verify(LINES, checkpoints), None, "are not those that the checkpoint")


def test_the_records_in_question_are_those_after_the_last_checkpoint_that_fits() -> None:
    records = [dict(line.record) for line in LINES]
    records[6]["keyId"] = "key_2"
    finding = verify(lines_of(records), [checkpoint_of(LINES, 2), checkpoint_of(LINES, 5), HEAD])
    found_at(finding, None, "What is not is among those from 5 to 8.")


def test_a_false_checkpoint_of_the_empty_log() -> None:
    found_at(verify(LINES, [Checkpoint(ORIGIN, 0, bytes(32))]), None, "The first 0 records")


@pytest.mark.parametrize("leaf", ["", "zz", "00" * 31, "00" * 32])
def test_a_leaf_hash_that_is_none_is_a_finding(leaf: str) -> None:
    lines = [*LINES]
    lines[4] = replace(LINES[4], leaf_hash=leaf)
    found_at(verify(lines), 4, "was changed")


def test_reading_stops_at_the_first_fault() -> None:
    """So that a huge tampered export needs no memory and no patience."""

    def export() -> Any:
        yield LINES[0]
        yield LINES[2]
        raise AssertionError("read on after the fault")

    found_at(verify(export()), 1, "Record 1 is missing")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_a_record_that_has_no_canonical_form_is_a_finding(value: Any) -> None:
    lines = [*LINES]
    lines[4] = replace(LINES[4], record=record(4, reason=value))
    found_at(verify(lines), 4, "was changed")
