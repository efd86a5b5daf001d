"""Proofs against RFC 6962 and RFC 9162, and against everything that is not the log."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.audit.merkle import Frontier, frontier_of, leaf_hash, node_hash
from act.audit.proofs import (
    consistency_proof,
    consistent,
    fold,
    inclusion_proof,
    range_hash,
    root_from_inclusion,
)
from tests.audit.test_merkle import LEAVES, ROOTS

HASHES = [leaf_hash(bytes([number])) for number in range(80)]
KNOWN = [leaf_hash(leaf) for leaf in LEAVES]


def subtree(height: int, number: int) -> bytes:
    return fold(HASHES[number << height : (number + 1) << height])


def known(height: int, number: int) -> bytes:
    return fold(KNOWN[number << height : (number + 1) << height])


def root(size: int) -> bytes:
    return frontier_of(HASHES[:size]).root()


# The paths that certificate-transparency's reference tests give for its eight leaves, by (leaf, size).
@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (
            0,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ],
)
def test_known_paths(index: int, size: int, path: list[str]) -> None:
    assert [each.hex() for each in inclusion_proof(known, index, size)] == path
    found = root_from_inclusion(KNOWN[index], index, size, [bytes.fromhex(each) for each in path])
    assert found is not None
    assert found.hex() == ROOTS[size - 1]


def test_every_leaf_of_every_tree_is_proven() -> None:
    for size in range(1, 70):
        assert range_hash(subtree, 0, size) == root(size)
        for index in range(size):
            proof = inclusion_proof(subtree, index, size)
            assert len(proof) <= (size - 1).bit_length()
            assert root_from_inclusion(HASHES[index], index, size, proof) == root(size)


def test_every_tree_is_proven_to_begin_every_later_one() -> None:
    for first, second in itertools.combinations_with_replacement(range(1, 66), 2):
        proof = consistency_proof(subtree, first, second)
        assert consistent(first, second, root(first), root(second), proof)
        assert bool(proof) == (first != second)


@given(st.data())
def test_a_proof_of_something_else_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(subtree, index, size)
    other = data.draw(st.integers(0, 79).filter(lambda other: other != index))
    assert root_from_inclusion(HASHES[other], index, size, proof) != root(size)
    at = data.draw(st.integers(0, len(proof) - 1))
    assert root_from_inclusion(HASHES[index], index, size, [*proof[:at], HASHES[79], *proof[at + 1 :]]) != root(size)
    assert root_from_inclusion(HASHES[index], index, size, [*proof[:at], *proof[at + 1 :]]) != root(size)
    assert root_from_inclusion(HASHES[index], index, size, [*proof, HASHES[79]]) is None


@given(st.data())
def test_a_rewritten_log_is_not_consistent(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 70))
    first = data.draw(st.integers(1, second - 1))
    changed = data.draw(st.integers(0, first - 1))
    fork = [*HASHES[:changed], leaf_hash(b"another"), *HASHES[changed + 1 :]]

    def forked(height: int, number: int) -> bytes:
        return fold(fork[number << height : (number + 1) << height])

    old, new = root(first), frontier_of(fork[:second]).root()
    for tree in (subtree, forked):
        assert not consistent(first, second, old, new, consistency_proof(tree, first, second))
    assert not consistent(first, second, old, root(second), [])
    honest = consistency_proof(subtree, first, second)
    assert not consistent(first, second, old, root(second), [*honest, HASHES[79]])
    assert not consistent(second, first, root(second), old, honest)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (5, 2)])
def test_there_is_no_proof_of_what_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(subtree, index, size)
    assert root_from_inclusion(HASHES[0], index, size, []) is None


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 1)])
def test_nothing_begins_with_nothing(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="begin"):
        consistency_proof(subtree, first, second)
    assert not consistent(first, second, root(3), root(3), [])


@given(st.integers(0, 79))
def test_what_a_leaf_completes(size: int) -> None:
    before = frontier_of(HASHES[:size])
    done = list(before.completed(HASHES[size]))
    assert [(height, number) for height, number, _ in done] == [
        (height, size >> height) for height in range(7) if (size + 1) % (1 << height) == 0
    ]
    assert all(value == subtree(height, number) for height, number, value in done)
    assert before.append(HASHES[size]) == Frontier(size + 1, frontier_of(HASHES[: size + 1]).roots)


@pytest.mark.parametrize("node", [b"", b"x" * 31, b"x" * 33, b"x" * 64], ids=len)
def test_what_is_no_hash_is_in_no_proof(node: bytes) -> None:
    leaf = leaf_hash(b"a")
    assert not consistent(1, 2, leaf, node_hash(leaf, node), [node])
    assert root_from_inclusion(leaf, 0, 2, [node]) is None
    assert consistent(1, 2, leaf, node_hash(leaf, b"x" * 32), [b"x" * 32])
