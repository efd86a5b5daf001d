"""The Merkle tree of RFC 6962, section 2.1, grown leaf by leaf.

Leaves and nodes are hashed with different prefixes, so that no node can pass for a leaf. The tree itself is not kept
in memory: the `Frontier`, the roots of its complete subtrees, is all that appending and the root hash need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

HASH_SIZE = 32


def leaf_hash(leaf: bytes) -> bytes:
    """`SHA-256(0x00 || leaf)`."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """`SHA-256(0x01 || left || right)`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier(NamedTuple):
    """The first `size` leaves of a log: `roots` are those of its complete subtrees, largest first."""

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """The frontier with one more leaf hash."""
        roots, size, node = list(self.roots), self.size, leaf
        while size & 1:
            node = node_hash(roots.pop(), node)
            size >>= 1
        return Frontier(self.size + 1, (*roots, node))

    def completed(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """What the next leaf completes: `(height, number, hash)` of subtrees of 2^`height` leaves, the leaf first."""
        height, number, node = 0, self.size, leaf
        yield height, number, node
        for left in reversed(self.roots):
            if not number & 1:
                return
            height, number, node = height + 1, number >> 1, node_hash(left, node)
            yield height, number, node

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves; of no leaves it is the hash of nothing."""
        if not self.roots:
            return hashlib.sha256(b"").digest()
        node = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            node = node_hash(left, node)
        return node

    def to_bytes(self) -> bytes:
        return b"".join(self.roots)

    @staticmethod
    def from_bytes(size: int, data: bytes) -> Frontier:
        """Read back what `to_bytes` wrote.

        Raises:
            ValueError: not as many roots as a tree of this size has.
        """
        if size < 0 or len(data) != HASH_SIZE * size.bit_count():
            raise ValueError(f"A tree of {size} leaves has {max(size, 0).bit_count()} subtree roots.")
        return Frontier(size, tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)))


def frontier_of(leaf_hashes: Iterable[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier = frontier.append(leaf)
    return frontier
