"""`actctl doctor --deep`: the database on this machine, looked at from the first page to the last record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from act.cli.backup import logs, opened
from act.cli.doctor import Check

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from act.database.head import Head


def deep_checks(database: str | None) -> Iterator[Check]:
    """What is wrong with the file, its logs and its keys. Changes nothing, and may be asked while the server runs."""
    from act.database.head import Head
    from act.database.soundness import DatabaseDamaged, faults, looking

    with opened(database) as path:
        if not path.exists():
            yield Check("database", "wrong", f"There is no {path}. Name it with --database, or put it back.")
            return
        found = faults(path, everything=True)
        yield Check("pages", "wrong" if found else "ok", "; ".join(found) or str(path))
        try:
            for each in logs(path):
                words = each.finding.message + (f" {each.archived} are in archives." if each.archived else "")
                yield Check(f"log of {each.tenant_id}", "ok" if each.finding.ok else "wrong", words)
            with looking(path) as connection:
                yield _complete(connection, Head(path))
                yield from _keys(connection, path)
        except DatabaseDamaged as error:
            yield Check("logs", "wrong", str(error).partition("\n")[0])


def _complete(connection: Connection, head: Head) -> Check:
    from act.audit.soundness import missing
    from act.database.engine import DatabaseUnusable

    try:
        if lost := missing(connection, head):
            return Check("complete", "wrong", lost)
        if head.read() is None:
            return Check("complete", "warning", f"There is no {head.path}, so nobody can tell whether all is there.")
    except DatabaseUnusable as error:
        return Check("complete", "wrong", str(error))
    return Check("complete", "ok", "everything that was answered is there")


def _keys(connection: Connection, path: Path) -> Iterator[Check]:
    from sqlalchemy import select

    from act.database.backup import KEYS
    from act.database.engine import DatabaseUnusable
    from act.database.keyfiles import KeyFiles
    from act.database.tables import signing_keys
    from act.server.settings import Settings

    needed = select(signing_keys.c.kid).where(
        (signing_keys.c.use == "audit") | signing_keys.c.status.in_(("next", "active"))
    )
    files, count = KeyFiles(path.with_name(path.name + KEYS), Settings.from_environment().master_key), 0
    for kid in connection.execute(needed.order_by(signing_keys.c.kid)).scalars():
        try:
            files.read(kid)
        except (DatabaseUnusable, OSError) as error:
            yield Check("keys", "wrong", str(error))
            return
        count += 1
    yield Check("keys", "ok", f"{count} private keys can be read")
