"""Serving the tree of a log: proofs, tiles, and the checkpoint that they belong to (RFC 6962; C2SP tlog-tiles)."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from act import models
from act.audit import archive_store, notes, store
from act.audit.merkle import Frontier
from act.audit.proofs import Subtree, consistency_proof, fold, inclusion_proof, range_hash
from act.audit.tiles import ENTRIES, HEIGHT, Tile, bundle, parse
from act.audit.writer import Writer
from act.problems import ProblemError, archived, not_found, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey
from act.tokens.live_keys import LiveKeys


class LogService:
    """What it serves is what was committed: a record is in the tree when its decision is answered."""

    def __init__(self, writer: Writer, reader: Engine, keys: LiveKeys, *, issuer: str) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = keys
        self._issuer = issuer

    def checkpoint(self, caller: ApiKey) -> models.Checkpoint:
        """The signed head of the tenant's log. Keep it: it is what makes a rewritten log visible."""
        return self.signed(caller.tenant_id, self._head(caller))

    def refuse_archived(self, caller: ApiKey, index: int) -> None:
        """Let nobody look for records from `index` on where they are not.

        Raises:
            ProblemError: 410, it is in an archive.
        """
        with self._reader.begin() as connection:
            refuse_archived(connection, caller.tenant_id, index)

    def signed(self, tenant_id: str, head: Frontier) -> models.Checkpoint:
        """The checkpoint of a log, as it is or as it once was."""
        key, origin = self._keys.audit(tenant_id), f"{self._issuer}/audit/{tenant_id}"
        return models.Checkpoint(
            tenant_id=tenant_id,
            size=head.size,
            root_hash=head.root().hex(),
            note=notes.sign(notes.Checkpoint(origin, head.size, head.root()), key),
            verifier_key=notes.verifier_key(origin, key.public_key().public_bytes_raw()),
        )

    def frontier(self, connection: Connection, tenant_id: str, size: int) -> Frontier:
        """The log of the first `size` records, which are there."""
        subtree, roots, begin = _subtrees(connection, tenant_id), list[bytes](), 0
        for height in reversed(range(size.bit_length())):
            if size >> height & 1:
                roots.append(subtree(height, begin >> height))
                begin += 1 << height
        return Frontier(size, tuple(roots))

    def size(self, caller: ApiKey) -> int:
        """How many records the tenant's log has."""
        return self._head(caller).size

    def inclusion(self, caller: ApiKey, index: int, size: int | None) -> models.InclusionProof:
        """That a record is among the first `size`; without a size, among all there are.

        Raises:
            ProblemError: 404 for a record that is not among them, or more records than there are.
        """
        size = self._size(caller, size)
        if index >= size:
            raise _beyond(f"There is no record {index} in a log of {size} records.")
        with self._reader.begin() as connection:
            subtree = _subtrees(connection, caller.tenant_id)
            proof = inclusion_proof(subtree, index, size)
            return models.InclusionProof(
                index=index,
                size=size,
                leaf_hash=subtree(0, index).hex(),
                root_hash=range_hash(subtree, 0, size).hex(),
                hashes=[each.hex() for each in proof],
            )

    def consistency(self, caller: ApiKey, first: int, second: int | None) -> models.ConsistencyProof:
        """That the log of `second` records begins with the `first`.

        Raises:
            ProblemError: 404 for more records than there are, 422 when the first are more than the second.
        """
        first, second = self._size(caller, first), self._size(caller, second)
        if first > second:
            message = f"The log of {second} records cannot begin with {first}."
            raise unprocessable([Fault("/first", message)], of="query")
        with self._reader.begin() as connection:
            subtree = _subtrees(connection, caller.tenant_id)
            return models.ConsistencyProof(
                first=first,
                second=second,
                first_root_hash=range_hash(subtree, 0, first).hex(),
                second_root_hash=range_hash(subtree, 0, second).hex(),
                hashes=[each.hex() for each in consistency_proof(subtree, first, second)],
            )

    def tile(self, caller: ApiKey, path: str) -> bytes:
        """A tile, or a bundle of entries, by its path.

        Raises:
            ProblemError: 404 for what is no path of a tile, or of one that the log does not have yet; 410 for records
                that are in an archive.
        """
        tile = parse(path)
        if tile is None or not tile.within(self._head(caller).size):
            raise not_found("tile", path)
        with self._reader.begin() as connection:
            if tile.level == ENTRIES:
                refuse_archived(connection, caller.tenant_id, tile.begin)
            return _content(connection, caller.tenant_id, tile)

    def _head(self, caller: ApiKey) -> Frontier:
        return self._writer.head(caller.tenant_id)

    def _size(self, caller: ApiKey, size: int | None) -> int:
        there = self._head(caller).size
        if size is not None and size > there:
            raise _beyond(f"There is no log of {size} records; it has {there}.")
        return there if size is None else size


def _beyond(detail: str) -> ProblemError:
    return ProblemError(404, "not_found", "Not found", detail)


def refuse_archived(connection: Connection, tenant_id: str, index: int) -> None:
    """Let nobody look for records from `index` on where they are not.

    Raises:
        ProblemError: 410, it is in an archive.
    """
    if (archive := archive_store.containing(connection, tenant_id, index)) is not None:
        detail = (
            f"Record {index} is in the archive {archive.file}, with those from {archive.first} to {archive.end - 1}."
        )
        raise archived(detail)


def _subtrees(connection: Connection, tenant_id: str) -> Subtree:
    def subtree(height: int, number: int) -> bytes:
        level, above = divmod(height, HEIGHT)
        return fold(store.hashes(connection, tenant_id, level, number << above, 1 << above))

    return subtree


def _content(connection: Connection, tenant_id: str, tile: Tile) -> bytes:
    if tile.level == ENTRIES:
        return bundle(store.entries(connection, tenant_id, tile.begin, tile.width))
    return b"".join(store.hashes(connection, tenant_id, tile.level, tile.begin, tile.width))
