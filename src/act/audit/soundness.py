"""Are the logs in a database what they were when they were written? For the start of a server, and for `actctl`.

A start looks at what it goes on with: the head of every log against the hashes it is made of, the latest records, and
whether there is all that was answered. `examined` computes every hash again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Row, cast, func, inspect, select

from act.audit import archive_store, store
from act.audit.arguments import proves, shown_salt
from act.audit.hidden import hidden
from act.audit.merkle import Frontier, leaf_hash
from act.audit.notes import Checkpoint
from act.audit.proofs import fold
from act.audit.tiles import HEIGHT, WIDTH
from act.audit.unannounced import unannounced
from act.audit.verify import Finding
from act.database import tables
from act.database.changes import last_revision
from act.database.head import Head, Reached
from act.database.keyfiles import KeyFiles
from act.database.soundness import damaged, faults, looking, small
from act.database.tables import audit_records, audit_subtrees, audit_tiles, audit_trees, changes
from act.strict_json import AmbiguousJson, MalformedJson, loads

MEND: Final = "actctl doctor --deep --mend"
LATEST: Final = 1024
"""Records of each tenant whose hashes a start computes again."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a look at the whole log of one tenant has found; `archived` records were not there to be hashed."""

    tenant_id: str
    finding: Finding
    archived: int = 0
    checkpoints: int = 0


def check(path: Path, head: Head, keys: KeyFiles) -> None:
    """Look at a database before it is served, without changing anything. A new one is sound.

    Raises:
        DatabaseDamaged: it is not what was written, or not all of it; says what to do.
        KeysUnusable: a private key is missing, or was encrypted with another master key.
        PermissionError: others can read one.
    """
    if not path.exists():
        return
    served = examine(path)
    with looking(path) as connection:
        wanted = head.read()
        if not served and wanted is not None and wanted.records and not inspect(connection).get_table_names():
            raise damaged(path, f"It has no tables, and {wanted.records} records were answered.")
        if served and (lost := missing(connection, head)):
            accept = f"actctl recover --accept-loss --database sqlite:///{path}"
            raise damaged(path, f"{lost} To go on without them: {accept}")
        if served:
            # To open the database for writing changes the file, even when it is refused then.
            keys.require(needed_keys(connection))


def examine(path: Path) -> bool:
    """Whether there are logs to go on with; `check`, but for what may be missing.

    Raises:
        DatabaseDamaged: what is there is not what was written.
    """
    if small(path) and (found := faults(path)):
        raise damaged(path, f"SQLite says: {'; '.join(found)}.")
    with looking(path) as connection:
        if not _ours(connection):
            return False
        for tenant_id in tenants(connection):
            if fault := _fault(connection, tenant_id):
                raise damaged(path, f"The audit log of '{tenant_id}' is not what it was. {fault}")
    return True


def _ours(connection: Connection) -> bool:
    """Whether the tables are there; those of another schema are not looked at, for it will be refused."""
    names = set(inspect(connection).get_table_names())
    return {each.name for each in (audit_trees, audit_records, audit_subtrees, audit_tiles, changes)} <= names


def reached(connection: Connection) -> Reached:
    """How far this database has come."""
    records = connection.execute(select(func.sum(audit_trees.c.size))).scalar() or 0
    return Reached(int(records), last_revision(connection))


def missing(connection: Connection, head: Head) -> str | None:
    """What was answered and is not in this database; None when all of it is."""
    wanted, there = head.read(), reached(connection)
    if wanted is None or (wanted.records <= there.records and wanted.revision <= there.revision):
        return None
    return (
        f"{wanted.records} records were answered and {there.records} are there (revision {wanted.revision} and "
        f"{there.revision}). It is an older copy, or its file {head.path.with_suffix('').name}-wal is gone or damaged."
    )


def needed_keys(connection: Connection) -> list[str]:
    """The ids of the keys that a server cannot do without: what signs the logs, and what signs tokens now or next."""
    kept = (tables.signing_keys.c.use == "audit") | tables.signing_keys.c.status.in_(("next", "active"))
    return list(
        connection.execute(select(tables.signing_keys.c.kid).where(kept).order_by(tables.signing_keys.c.kid)).scalars()
    )


def tenants(connection: Connection) -> list[str]:
    """Those that have a log, which is each: its first record is that it was made."""
    kept = select(audit_trees.c.tenant_id).union(select(tables.tenants.c.id))
    return sorted(connection.execute(kept).scalars())


def _fault(connection: Connection, tenant_id: str) -> str | None:
    """What is wrong with the end of a log, which is what new records are put upon."""
    tree = connection.execute(select(audit_trees).where(audit_trees.c.tenant_id == tenant_id)).first()
    if tree is None:
        return "Its head is missing."
    last = select(func.max(audit_records.c.idx)).where(audit_records.c.tenant_id == tenant_id)
    gone = _removed(connection, tenant_id)
    there = connection.execute(last).scalar()
    if (gone - 1 if there is None else there) + 1 != tree.size:
        return f"Its head is of {tree.size} records, and the last one is {there}."
    try:
        frontier = Frontier.from_bytes(tree.size, tree.frontier)
        for height, number, root in _roots(frontier):
            if _subtree(connection, tenant_id, height, number) != root:
                return f"Records {number << height} to {(number + 1 << height) - 1} are not those that its head is of."
    except (ValueError, LookupError) as error:
        return str(error)
    return next(_changed(connection, tenant_id, max(gone, tree.size - LATEST)), None)


def _removed(connection: Connection, tenant_id: str) -> int:
    """How many of the first records are in archives alone; their hashes are here, 256 in a row."""
    last = select(func.max(audit_tiles.c.number)).where(audit_tiles.c.tenant_id == tenant_id)
    number = connection.execute(last).scalar()
    return 0 if number is None else (int(number) + 1) * WIDTH


def _roots(frontier: Frontier) -> Iterator[tuple[int, int, bytes]]:
    """The complete subtrees that a log consists of: `(height, number, hash)`."""
    begin = 0
    for root in frontier.roots:
        height = (frontier.size - begin).bit_length() - 1
        yield height, begin >> height, root
        begin += 1 << height


def _subtree(connection: Connection, tenant_id: str, height: int, number: int) -> bytes:
    level, above = divmod(height, HEIGHT)
    return fold(store.hashes(connection, tenant_id, level, number << above, 1 << above))


def _changed(connection: Connection, tenant_id: str, begin: int) -> Iterator[str]:
    for position, row in enumerate(_rows(connection, tenant_id, begin), begin):
        if row.idx != position:
            yield f"Record {position} is missing."
        if fault := _fault_of(row, tenant_id):
            yield fault


def _rows(connection: Connection, tenant_id: str, begin: int) -> Iterator[Row[Any]]:
    """The records from `begin` on, as bytes, whatever has become of them: what is computed from them is not asked."""
    columns = audit_records.c
    record, arguments = (cast(each, LargeBinary).label(each.name) for each in (columns.record, columns.arguments))
    query = select(columns.idx, columns.leaf_hash, columns.salt, record, arguments)
    query = query.where(columns.tenant_id == tenant_id, columns.idx >= begin).order_by(columns.idx)
    yield from connection.execution_options(yield_per=500).execute(query)


def _fault_of(row: Row[Any], tenant_id: str) -> str | None:
    """What is wrong with one row. The bytes are hashed as they are stored: another spelling is another record."""
    if leaf_hash(row.record or b"") != row.leaf_hash:
        return f"Record {row.idx} was changed: it does not have the hash that was logged."
    try:
        record = json.loads(row.record)
        said = record["index"], record["tenantId"]
    except (ValueError, LookupError, TypeError):
        return f"Record {row.idx} was changed: it is no record."
    if said != (row.idx, tenant_id):
        return f"Record {row.idx} says that it is {said[0]} of '{said[1]}'."
    if row.arguments is not None and not _proven(record, row):
        return f"The arguments of record {row.idx} were changed: they do not have the hash that was logged."
    return None


def _proven(record: dict[str, Any], row: Row[Any]) -> bool:
    """Whether what is kept of the arguments is what the record is of. Where it was erased there is nothing to prove."""
    try:
        # Strictly: of a key that stands twice a person may read the one and the hash cover the other.
        return proves(record, loads(row.arguments), shown_salt(row.salt or b"", record.get("keptHash")))
    except (MalformedJson, AmbiguousJson):
        return False


def examined(connection: Connection, tenant_id: str, checkpoints: Iterable[Checkpoint] = ()) -> Examined:
    """Compute every hash of a log again, and hold what is kept for proofs, and every checkpoint, against them.

    What is kept for searches is held against the records.
    """
    wanted = sorted(checkpoints, key=lambda each: each.size)
    gone = _removed(connection, tenant_id)
    frontier, kept = Frontier(), _kept_subtrees(connection, tenant_id)
    due, waiting = list(wanted), None

    def found(message: str, index: int | None) -> Examined:
        return Examined(tenant_id, Finding(False, frontier.size, frontier.root(), message, index), gone)

    for leaf, fault in _leaves(connection, tenant_id, gone):
        while due and due[0].size == frontier.size:
            waiting = due.pop(0)
            if waiting.root != frontier.root():
                return found(_differs(waiting), None)
        if fault is not None:
            return found(fault, frontier.size)
        for height, number, subtree in frontier.completed(leaf):
            level, rest = divmod(height, HEIGHT)
            if height and not rest and kept.pop((level, number), None) != subtree:
                begin = number << height
                return found(f"What is kept for proofs of the records from {begin} on is not their hash.", begin)
        frontier = frontier.append(leaf)
    for checkpoint in due:
        if checkpoint.size > frontier.size:
            end = f"The log ends after {frontier.size} records, but a checkpoint saw {checkpoint.size}"
            return found(f"{end}: its tail is missing.", frontier.size)
        if checkpoint.root != frontier.root():
            return found(_differs(checkpoint), None)
    if fault := _head_fault(connection, tenant_id, frontier):
        return found(fault, frontier.size)
    if kept:
        return found("Hashes are kept of records that are not there.", frontier.size)
    if (first := unannounced(connection, tenant_id, gone)) is not None:
        message = f"From record {first} on some are away, or count as archived, and no record of the log says where to."
        return found(message, first)
    if (first := hidden(connection, tenant_id, frontier.size)) is not None:
        message = f"Every record verifies, and searches pass over some from {first} on: what is kept for searches was "
        return found(f"{message}changed. Stop the server, and run: {MEND}", first)
    finding = Finding(True, frontier.size, frontier.root(), f"{frontier.size} records verified.")
    return Examined(tenant_id, finding, gone, len(wanted))


def _differs(checkpoint: Checkpoint) -> str:
    return f"The first {checkpoint.size} records are not those that the checkpoint of '{checkpoint.origin}' signed."


def _head_fault(connection: Connection, tenant_id: str, frontier: Frontier) -> str | None:
    tree = connection.execute(select(audit_trees).where(audit_trees.c.tenant_id == tenant_id)).first()
    if tree is None:
        return "The head of the log is missing."
    if (tree.size, tree.frontier) != (frontier.size, frontier.to_bytes()):
        return f"The head of the log is of {tree.size} records, and not of the {frontier.size} that are there."
    return None


def _kept_subtrees(connection: Connection, tenant_id: str) -> dict[tuple[int, int], bytes]:
    rows = connection.execute(select(audit_subtrees).where(audit_subtrees.c.tenant_id == tenant_id))
    return {(row.level, row.number): row.hash for row in rows}


def _leaves(connection: Connection, tenant_id: str, gone: int) -> Iterator[tuple[bytes, str | None]]:
    """Every leaf hash in order, and what is wrong with its record; those in archives have none to look at."""
    for begin in range(0, gone, WIDTH):
        hashes = archive_store.leaf_hashes(connection, tenant_id, begin, begin + WIDTH)
        if len(hashes) != WIDTH:
            yield b"", f"The hashes of the archived records from {begin} on are missing."
        yield from ((each, None) for each in hashes)
    for position, row in enumerate(_rows(connection, tenant_id, 0), gone):
        if row.idx != position:
            yield b"", f"Record {position} is missing; index {row.idx} stands in its place."
        yield row.leaf_hash, _fault_of(row, tenant_id)
