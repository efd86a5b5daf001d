"""What is kept beside a record is proven by it, and can go without a trace in the log."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from act.audit.arguments import MAX_KEPT, Body, body_of, is_kept, kept_salt, proves, rest_of, shown_salt
from act.audit.merkle import frontier_of, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.record import encode
from act.audit.redaction import Keeping, Mode
from act.audit.values import MARK
from act.audit.verify import Line, verify
from act.strict_json import loads

SALT = bytes(range(16))
MODES: tuple[Mode, ...] = ("none", "redacted", "full")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.just("Bearer hunter2"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("password"), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(TEXTS | st.just("password"), VALUES, max_size=4)
BODIES = st.lists(st.tuples(ARGUMENTS, st.sampled_from(MODES)), min_size=1, max_size=6)


def sha(salt: bytes, value: Any) -> str:
    return hashlib.sha256(salt + rfc8785.dumps(value)).hexdigest()


@given(ARGUMENTS, st.sampled_from(MODES), st.binary(min_size=16, max_size=16))
def test_the_hashes_are_those_that_anybody_can_compute(arguments: dict[str, Any], mode: Mode, salt: bytes) -> None:
    body = body_of(arguments, salt, Keeping(mode))
    assert body.salt == salt
    assert body.told["argumentsHash"] == sha(salt, arguments)
    assert body.told["argumentsKept"] == mode
    assert (body.text is None) is (mode == "none")
    if body.text is None:
        assert body.told.keys() == {"argumentsHash", "argumentsKept"}
        return
    kept = loads(body.text.encode())
    if "keptHash" in body.told:
        assert kept != arguments
        assert body.told["keptHash"] == sha(kept_salt(salt), kept)
    else:
        assert rfc8785.dumps(kept) == rfc8785.dumps(arguments)
    assert proves(body.told, kept, shown_salt(salt, body.told.get("keptHash")))


def test_the_salt_that_is_shown_does_not_help_to_guess_what_was_redacted() -> None:
    secret = {"to": "anna", "pin": "1234"}
    body = body_of(secret, SALT, Keeping())
    salt = shown_salt(SALT, body.told["keptHash"])
    assert json.loads(body.text or "") == {"to": "anna", "pin": MARK}
    guesses = [{"to": "anna", "pin": f"{pin:04}"} for pin in range(10_000)]
    assert body.told["argumentsHash"] in {sha(SALT, guess) for guess in guesses}
    assert not {body.told["argumentsHash"], body.told["keptHash"]} & {sha(salt, guess) for guess in guesses}


@pytest.mark.parametrize("mode", ["redacted", "full"])
def test_of_what_is_too_long_the_length_and_the_hash_are_kept(mode: Mode) -> None:
    longest = {"x": "a" * (MAX_KEPT - len('{"x":""}'))}
    assert body_of(longest, SALT, Keeping(mode)).text is not None
    longer = {"x": longest["x"] + "a"}
    body = body_of(longer, SALT, Keeping(mode))
    told = {"argumentsHash": sha(SALT, longer), "argumentsKept": "none", "argumentsBytes": MAX_KEPT + 1}
    assert body == Body(SALT, None, told)
    assert not is_kept(body.told)


@pytest.mark.parametrize("mode", MODES)
def test_no_arguments_are_kept_as_none(mode: Mode) -> None:
    body = body_of({}, SALT, Keeping(mode))
    assert body.text == (None if mode == "none" else "{}")
    assert "keptHash" not in body.told


@pytest.mark.parametrize("number", [2.0**53, 1e16, -1e20, 1e300, 0.1234567890123456, 1e-7, 5e-324, 2**53 - 1], ids=repr)
def test_a_number_is_read_again_as_what_it_was(number: float) -> None:
    """A float whose canonical form has no point is, read strictly, an integer that is too large to be one."""
    for arguments in ({"x": number}, {"x": [number], "password": 1}):
        body = body_of(arguments, SALT, Keeping())
        kept = loads((body.text or "").encode())
        assert kept["x"] == arguments["x"]
        assert proves(body.told, kept, shown_salt(SALT, body.told.get("keptHash")))


def test_nothing_of_it_is_shown_by_accident() -> None:
    assert "hunter2" not in repr(body_of({"x": "hunter2"}, SALT, Keeping("full")))


def test_what_stays_elsewhere_is_what_the_log_keeps() -> None:
    arguments = {"x": 1, "password": "hunter2"}
    assert rest_of(arguments, Keeping("none")) is None
    assert rest_of(arguments, Keeping()) == {"x": 1, "password": MARK}
    assert rest_of(arguments, Keeping("full")) == arguments
    assert rest_of({"x": "a" * MAX_KEPT}, Keeping("full")) is None


# --- the log with what stands beside it ---


def log_of(bodies: list[tuple[dict[str, Any], Mode]]) -> list[Line]:
    lines = []
    for index, (arguments, mode) in enumerate(bodies):
        body = body_of(arguments, index.to_bytes(16, "big"), Keeping(mode))
        record = {"v": 1, "index": index, "kind": "decision", **body.told}
        kept = None if body.text is None else loads(body.text.encode())
        salt = None if kept is None else shown_salt(body.salt, body.told.get("keptHash")).hex()
        lines.append(Line(index, leaf_hash(encode(record)).hex(), record, kept, salt))
    return lines


def head_of(lines: list[Line]) -> Checkpoint:
    return Checkpoint("a log", len(lines), frontier_of(bytes.fromhex(line.leaf_hash) for line in lines).root())


@given(BODIES, st.data())
def test_erasing_any_of_it_keeps_the_log_valid(bodies: list[tuple[dict[str, Any], Mode]], data: st.DataObject) -> None:
    lines = log_of(bodies)
    head = head_of(lines)
    assert verify(lines, [head]).erased == 0
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1)))
    left = [Line(x.index, x.leaf_hash, x.record) if x.index in gone else x for x in lines]
    kept = {index for index in gone if bodies[index][1] != "none"}
    # The record that says so names some of them; of the others nobody has said anything.
    named = data.draw(st.sets(st.sampled_from(sorted(gone)))) if gone else set()
    told = {"v": 1, "index": len(lines), "kind": "arguments.erased", "indexes": sorted(named)}
    left.append(Line(len(lines), leaf_hash(encode(told)).hex(), told))
    finding = verify(left, [head])
    assert finding.ok is (kept <= named)
    assert finding.bad_index == min(kept - named, default=None)
    assert (finding.erased, finding.unnamed) == (len(kept & named), len(kept - named))
    assert finding.root == head_of(left).root


@given(BODIES, ARGUMENTS, st.data())
def test_other_arguments_are_found(
    bodies: list[tuple[dict[str, Any], Mode]], other: dict[str, Any], data: st.DataObject
) -> None:
    lines = log_of(bodies)
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    same = line.arguments is not None and rfc8785.dumps(other) == rfc8785.dumps(line.arguments)
    lines[at] = Line(line.index, line.leaf_hash, line.record, other, line.salt or SALT.hex())
    finding = verify(lines)
    assert finding.ok is same
    if not same:
        assert finding.bad_index == at
        assert finding.message.startswith(f"The arguments of record {at} were changed")


@pytest.mark.parametrize("salt", ["", "zz", SALT.hex()[:-2], SALT.hex() + "00", bytes(16).hex(), None], ids=repr)
def test_another_salt_is_found(salt: str | None) -> None:
    [line] = log_of([({"x": 1}, "full")])
    good = Line(0, line.leaf_hash, line.record, line.arguments, bytes(16).hex())
    assert good == line
    assert verify([Line(0, line.leaf_hash, line.record, line.arguments, salt)]).ok is (salt == bytes(16).hex())


def test_a_part_of_what_is_kept_cannot_be_taken_for_salt() -> None:
    """Nor the other way round: the salt has its length, and what is kept is an object."""
    [line] = log_of([({"x": 1}, "full")])
    whole = bytes(16) + rfc8785.dumps({"x": 1})
    for cut in range(len(whole)):
        salt, text = whole[:cut], whole[cut:]
        try:
            value = json.loads(text)
        except ValueError:
            continue
        assert proves(line.record, value, salt) is (cut == 16)


@pytest.mark.parametrize("kept", [None, [], "x", 1, float("nan"), {"x": float("inf")}, {"x": "\ud800"}], ids=repr)
def test_what_no_log_keeps_is_found(kept: Any) -> None:
    [line] = log_of([({"x": 1}, "full")])
    assert not verify([Line(0, line.leaf_hash, line.record, kept, line.salt)]).ok


def test_arguments_beside_a_record_that_kept_none_are_found() -> None:
    [line] = log_of([({"x": 1}, "none")])
    assert verify([Line(0, line.leaf_hash, line.record, {"x": 1}, bytes(16).hex())]).bad_index == 0
