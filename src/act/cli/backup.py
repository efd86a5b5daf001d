"""`actctl backup`, `restore` and `recover`: the database as files; and what `audit verify --database` does."""

from __future__ import annotations

import base64
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from act.cli.command import OfflineCommand, confirm, wants_json, yes_option
from act.cli.node import DATABASE, needs_server
from act.cli.output import Column, print_json, print_list, print_one, say

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from act.audit.notes import Checkpoint
    from act.audit.soundness import Examined
    from act.database.backup import Manifest

_MADE: list[Column[Manifest]] = [
    ("made", lambda it: it.made_at),
    ("records", lambda it: it.records),
    ("revision", lambda it: it.revision),
    ("files", lambda it: len(it.files)),
]
_LOGS: list[Column[Examined]] = [
    ("tenant", lambda it: it.tenant_id),
    ("verified", lambda it: it.finding.ok),
    ("records", lambda it: it.finding.size),
    ("in archives", lambda it: it.archived),
    ("root hash", lambda it: it.finding.root.hex()),
    ("first bad index", lambda it: it.finding.bad_index),
    ("kept checkpoints", lambda it: it.checkpoints),
    ("arguments erased", lambda it: it.finding.erased),
    ("message", lambda it: it.finding.message),
]


@contextmanager
def opened(database: str | None) -> Iterator[Path]:
    """The file that was meant. What is wrong with it ends the command with a sentence."""
    needs_server()
    from act.database.engine import DatabaseUnusable, sqlite_path
    from act.server.settings import Settings, SettingsInvalid

    try:
        yield sqlite_path(Settings.from_environment(database=database).database)
    except (DatabaseUnusable, SettingsInvalid) as error:
        raise click.ClickException(str(error)) from error
    except sqlite3.Error as error:
        raise click.ClickException(f"The database cannot be read ({error}).") from error


@click.command(cls=OfflineCommand)
@click.argument("folder", type=click.Path(path_type=Path))
@DATABASE
def backup(folder: Path, database: str | None) -> None:
    """Copy the database and its keys.

    FOLDER is made. The server may run meanwhile. The copy is of one moment, and every hash in it is computed again
    before it counts as a backup. It holds private keys: keep it as you keep those.

    \b
    Example:
      actctl backup /backup/act-$(date +%F) --database /var/lib/act/act.db
    """
    with opened(database) as path:
        from act.audit.soundness import reached
        from act.database.backup import copy, seal
        from act.database.soundness import faults, looking

        copied = copy(path, folder)
        if wrong := faults(copied, everything=True):
            raise click.ClickException(f"{folder} is no backup, the database is damaged: {'; '.join(wrong)}.")
        for each in logs(copied):
            log = f"the log of '{each.tenant_id}': {each.finding.message}"
            if each.finding.unnamed:  # no backup that was ever made after this would have them
                say(f"Warning, of {log}")
            elif not each.finding.ok:
                raise click.ClickException(f"{folder} is no backup, {log}")
        with looking(copied) as connection:
            there = reached(connection)
        made = seal(folder, there, datetime.now(UTC))
        print_one(made, _MADE)
    say(f"The backup is {folder}. Archives of the log are not in it: copy the folder {path.name}.archives as well.")


@click.command(cls=OfflineCommand)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATABASE
@click.option("--move-away", is_flag=True, help="Rename the database that is there; nothing is ever deleted.")
def restore(folder: Path, database: str | None, move_away: bool) -> None:
    """Put a backup in the place of the database. Stop the server first.

    What was answered after the backup is lost, and with it what was revoked, counted and approved since.

    \b
    Example:
      actctl restore /backup/act-2026-11-22 --move-away
    """
    with opened(database) as path:
        from act.database import backup as backups
        from act.database.engine import FileLock
        from act.database.head import Head

        made = backups.read(folder)
        lock, now = FileLock(path).acquire(), datetime.now(UTC)
        try:
            if (there := backups.belongings(path)) and not move_away:
                raise click.ClickException(f"{there[0]} is there. To rename all that is, add --move-away.")
            before = _reached(Head(path))
            old = backups.move_away(path, now)
            backups.put_back(folder, path, made)
        finally:
            lock.release()
        print_one(made, _MADE)
    if old is not None:
        say(f"What was there is now {old}.")
    if before is None:
        say("How much was answered after the backup is not known.")
    elif before > made.records:
        say(f"{before - made.records} records that were answered after the backup are not in it.")
    say("Take back again what was taken back since the backup; when in doubt, revoke the signing keys.")


def _reached(head: Any) -> int | None:
    """The records that the old database had come to, as far as can be said."""
    from act.database.engine import DatabaseUnusable

    try:
        return None if (found := head.read()) is None else int(found.records)
    except DatabaseUnusable:
        return None


@click.command(cls=OfflineCommand)
@DATABASE
@click.option("--accept-loss", is_flag=True, help="Go on without what is missing. This cannot be taken back.")
@yes_option
def recover(database: str | None, accept_loss: bool, yes: bool) -> None:
    """Go on with a database that lacks records.

    It must be sound, and only older than what was answered. Stop the server first.

    Without --accept-loss it only says what is missing. Copy the files before, and think of `actctl restore` first.
    With it, somebody at a terminal is asked.
    """
    with opened(database) as path:
        from act.audit.soundness import examine, missing, reached
        from act.database.engine import DatabaseUnusable, FileLock
        from act.database.head import Head
        from act.database.soundness import looking

        if not path.exists():
            raise click.ClickException(f"There is no database {path}.")
        lock, head = FileLock(path).acquire(), Head(path)
        try:
            examine(path)
            with looking(path) as connection:
                there = reached(connection)
                try:
                    lost = missing(connection, head)
                except DatabaseUnusable as error:
                    lost = str(error)
            if lost is None:
                say("Nothing is missing.")
                return
            if not accept_loss:
                raise click.ClickException(f"{lost} To go on without them, add --accept-loss.")
            if sys.stdin.isatty():  # a script has said it with --accept-loss
                confirm(f"{lost} Go on without them for good?", yes)
            head.replace(there)
        finally:
            lock.release()
    say(f"{lost}\nFrom now on the database counts as whole with {there.records} records.")
    say("Kept checkpoints, and witnesses, will find that the log was cut off: tell those who keep them.")


def logs(
    path: Path, tenant: str | None = None, checkpoints: tuple[Checkpoint, ...] = (), key: str | None = None
) -> list[Examined]:
    """Every log of a database, or that of one tenant, with every hash computed again.

    Args:
        key: a verifier key that must be that of one of them.

    Raises:
        click.ClickException: there is no such log, or the key or a checkpoint is of none of them.
    """
    from act.audit.soundness import tenants
    from act.database.soundness import looking

    if not path.exists():
        raise click.ClickException(f"There is no database {path}.")
    with looking(path) as connection:
        found = [each for each in tenants(connection) if tenant in (None, each)]
        if tenant is not None and not found:
            raise click.ClickException(f"The database has no log of a tenant '{tenant}'.")
        theirs = None if key is None else _whose(connection, key, found)
        ours = {each: checkpoints if each == theirs else () for each in found}
        return [_judged(connection, each, mine) for each, mine in ours.items()]


def _whose(connection: Connection, key: str, tenants: list[str]) -> str:
    """The tenant whose log this verifier key is of: the one whose name it has, and whose key the database has."""
    from sqlalchemy import select

    from act.audit.notes import NoteInvalid, parsed_key
    from act.database.tables import signing_keys

    columns = signing_keys.c
    try:
        origin, public = parsed_key(key)
    except NoteInvalid as error:
        raise click.ClickException(f"--key is no key of a log: {error}") from None
    encoded = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    kept = select(columns.tenant_id, columns.public_jwk).where(columns.use == "audit")
    theirs = {row.tenant_id for row in connection.execute(kept) if row.public_jwk.get("x") == encoded}
    for tenant in tenants:
        if tenant in theirs and origin.endswith(f"/audit/{tenant}"):
            return tenant
    raise click.ClickException(f"--key is the key of another log, '{origin}'.")


def _judged(connection: Connection, tenant_id: str, checkpoints: tuple[Checkpoint, ...]) -> Examined:
    """What was found of a log, with what is gone of the arguments."""
    from act.audit.erasure_store import gone
    from act.audit.gone import missing
    from act.audit.soundness import examined

    each = examined(connection, tenant_id, checkpoints)
    if not each.finding.ok:
        return each
    seen = gone(connection, tenant_id)
    if not (unnamed := seen.unnamed):
        return replace(each, finding=replace(each.finding, erased=seen.erased))
    bad = replace(each.finding, ok=False, message=missing(unnamed), bad_index=unnamed[0], erased=seen.erased)
    return replace(each, finding=replace(bad, unnamed=len(unnamed)))


def verify_database(
    context: click.Context, url: str, tenant: str | None, notes: dict[str, str], key: str | None
) -> NoReturn:
    """`actctl audit verify --database`: the logs as they are in the file; is all that was answered in it?"""
    from act.audit import notes as signed

    if notes and key is None:
        raise click.UsageError("A kept checkpoint needs --key, the verifier key as it was kept elsewhere.")
    with opened(url) as path:
        from act.audit.soundness import missing
        from act.database.head import Head
        from act.database.soundness import looking

        try:
            kept = tuple(signed.verify(note, key or "") for note in notes.values())
        except signed.NoteInvalid as error:
            raise click.ClickException(f"A kept checkpoint does not hold: {error}") from None
        found = logs(path, tenant, kept, key)
        with looking(path) as connection:
            lost = missing(connection, Head(path))
    if wants_json():
        print_json([_shown(each) for each in found])
    else:
        print_list(found, _LOGS, nothing="There is no log.")
    if lost:
        say(lost)
    ok = lost is None and all(each.finding.ok for each in found)
    say("Every log is what it was." if ok else "Not all is what it was.")
    context.exit(0 if ok else 1)


def _shown(each: Examined) -> dict[str, Any]:
    finding = each.finding
    return {
        "tenantId": each.tenant_id,
        "ok": finding.ok,
        "message": finding.message,
        "size": finding.size,
        "rootHash": finding.root.hex(),
        "badIndex": finding.bad_index,
        "archived": each.archived,
        "checkpoints": each.checkpoints,
        "erased": finding.erased,
        "unnamed": finding.unnamed,
    }
