"""The tree against RFC 6962, section 2.1, written out as the RFC defines it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.audit.merkle import HASH_SIZE, Frontier, frontier_of, leaf_hash, node_hash

# The test vectors of certificate-transparency: these leaves, and the roots of the first 1, 2, ... of them.
LEAVES = [bytes.fromhex(leaf) for leaf in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]]
LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """The Merkle Tree Hash, in the words of the RFC: split at the largest power of two smaller than n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def _frontier(leaves: list[bytes]) -> Frontier:
    return frontier_of(leaf_hash(leaf) for leaf in leaves)


def test_the_empty_tree() -> None:
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_the_known_roots(size: int) -> None:
    assert _frontier(LEAVES[:size]).root().hex() == ROOTS[size - 1] == mth(LEAVES[:size]).hex()


@pytest.mark.parametrize("size", range(131))
def test_every_size_has_the_root_of_the_rfc(size: int) -> None:
    leaves = [f"leaf {index}".encode() for index in range(size)]
    frontier = _frontier(leaves)
    assert frontier.size == size
    assert frontier.root() == mth(leaves)


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_any_leaves_have_the_root_of_the_rfc(leaves: list[bytes]) -> None:
    assert _frontier(leaves).root() == mth(leaves)


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.integers(0, 300))
def test_a_frontier_is_what_was_stored_of_it(size: int) -> None:
    frontier = frontier_of(leaf_hash(bytes([index % 256])) for index in range(size))
    data = frontier.to_bytes()
    assert len(data) == HASH_SIZE * bin(size).count("1")
    restored = Frontier.from_bytes(size, data)
    assert restored == frontier
    assert restored.append(leaf_hash(b"next")) == frontier.append(leaf_hash(b"next"))


@pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 31), (1, 64), (3, 32), (3, 65), (4, 64), (-1, 32)])
def test_a_frontier_of_another_size_is_refused(size: int, length: int) -> None:
    with pytest.raises(ValueError, match="subtree roots"):
        Frontier.from_bytes(size, bytes(length))


def test_appending_leaves_the_frontier_before_as_it_is() -> None:
    before = _frontier(LEAVES[:3])
    root = before.root()
    before.append(leaf_hash(b"one"))
    before.append(leaf_hash(b"other"))
    assert before.size == 3
    assert before.root() == root
