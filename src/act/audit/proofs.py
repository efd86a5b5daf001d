"""Proofs of a log (RFC 6962, section 2.1): that a record is in it, and that a later log begins with an earlier one.

Pure. A proof is made from the hashes of complete subtrees, and checked with nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from act.audit.merkle import HASH_SIZE, frontier_of, node_hash

Subtree = Callable[[int, int], bytes]
"""The hash of the `number`th complete subtree of 2^`height` leaves: `(height, number) -> 32 bytes`."""


def inclusion_proof(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the first `size` leaves, the lowest first.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"A tree of {size} leaves has no leaf {index}.")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            path.append(range_hash(subtree, middle, end))
            end = middle
        else:
            path.append(range_hash(subtree, begin, middle))
            begin = middle
    return path[::-1]


def consistency_proof(subtree: Subtree, first: int, second: int) -> list[bytes]:
    """The hashes that show that the tree of `second` leaves begins with that of `first`; none when they are the same.

    Raises:
        ValueError: `first` is 0 or more than `second`.
    """
    if not 1 <= first <= second:
        raise ValueError(f"A tree of {first} leaves cannot be shown to begin one of {second}.")
    path: list[bytes] = []
    begin, end, whole = 0, second, True
    while first != end:
        middle = begin + _left(end - begin)
        if first <= middle:
            path.append(range_hash(subtree, middle, end))
            end = middle
        else:
            path.append(range_hash(subtree, begin, middle))
            begin, whole = middle, False
    # The root of a first tree that is a subtree of the second is known to whoever checks.
    return path[::-1] if whole else [range_hash(subtree, begin, end), *path[::-1]]


def range_hash(subtree: Subtree, begin: int, end: int) -> bytes:
    """The tree hash of the leaves from `begin` to `end` (exclusive), where `begin` is that of a subtree in the tree."""
    parts: list[bytes] = []
    while begin < end:
        height = (end - begin).bit_length() - 1
        parts.append(subtree(height, begin >> height))
        begin += 1 << height
    node = parts.pop()
    while parts:
        node = node_hash(parts.pop(), node)
    return node


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that a leaf hash and its proof lead to (RFC 9162, section 2.1.3.2); None when it cannot be a proof."""
    if not 0 <= index < size or not _are_nodes(proof):
        return None
    node, last, at = leaf, size - 1, index
    for sibling in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return node if last == 0 else None


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the second tree begins with the first (RFC 9162, section 2.1.4.2)."""
    if not 1 <= first <= second or not _are_nodes(proof):
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    one = two = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            one, two = node_hash(sibling, one), node_hash(sibling, two)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            two = node_hash(two, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and one == first_root and two == second_root


def _are_nodes(proof: Sequence[bytes]) -> bool:
    """Whether all are hashes: what has another length stands in no tree, and no proof leads over it."""
    return all(len(each) == HASH_SIZE for each in proof)


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes."""
    return frontier_of(hashes).root()


def _left(size: int) -> int:
    """The largest power of two below `size`."""
    return int(1 << (size - 1).bit_length() - 1)
