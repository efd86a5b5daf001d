"""A copy of everything that a server needs: the database as it was at one moment, its keys, and what they were.

The copy is made while the server runs, by SQLite's online backup (sqlite.org/backup.html), and is one plain file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from act.database.engine import DatabaseUnusable
from act.database.head import Head, Reached
from act.database.soundness import read_only

NAME: Final = "act.db"
MANIFEST: Final = "backup.json"
KEYS: Final = ".keys"
_PARTS: Final = ("", "-wal", "-shm", KEYS, ".head")
"""What belongs to a database, by what follows its name. The folder of archives is not touched."""
_PIECE: Final = 1 << 20


class BackupUnusable(DatabaseUnusable):
    """The folder is no backup, or not the one that was made."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is: how far its database had come, and the SHA-256 of every file, by its name in the folder."""

    made_at: str
    records: int
    revision: int
    files: dict[str, str]

    @property
    def reached(self) -> Reached:
        return Reached(self.records, self.revision)


def copy(path: Path, folder: Path) -> Path:
    """Copy the database and its keys to a new folder; the file that is the copy. It is no backup until it is `sealed`.

    Raises:
        BackupUnusable: the folder is there already, or there is no database.
        sqlite3.DatabaseError: the database cannot be read.
        OSError: the copy cannot be written.
    """
    if not path.exists():
        raise BackupUnusable(f"There is no database {path}.")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise BackupUnusable(f"{folder} is there already; a backup is made in a folder of its own.") from None
    try:
        return _copied(path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # what it would leave holds private keys, and is in the way
        raise


def _copied(path: Path, folder: Path) -> Path:
    made, keys = folder / NAME, path.with_name(path.name + KEYS)
    # Before and after: whatever the copied database speaks of is there, though a key be made or deleted meanwhile.
    _copy_keys(keys, made.with_name(NAME + KEYS))
    os.close(os.open(made, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(read_only(path)) as source, closing(sqlite3.connect(made, isolation_level=None)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    _copy_keys(keys, made.with_name(NAME + KEYS))
    return made


def seal(folder: Path, reached: Reached, at: datetime) -> Manifest:
    """Have a copy on disk, whole, and say what it is."""
    files = {str(file.relative_to(folder)): _digest(file) for file in sorted(_files(folder))}
    manifest = Manifest(at.isoformat(), reached.records, reached.revision, files)
    with (folder / MANIFEST).open("x") as out:
        json.dump(asdict(manifest), out, indent=2)
    for each in (*_files(folder), folder / MANIFEST, folder / (NAME + KEYS), folder, folder.parent):
        _sync(each)
    return manifest


def read(folder: Path) -> Manifest:
    """What a backup is, after its files were held against it.

    Raises:
        BackupUnusable: it is none, or its files are not those that were copied.
    """
    try:
        said: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        manifest = Manifest(str(said["made_at"]), int(said["records"]), int(said["revision"]), dict(said["files"]))
    except FileNotFoundError:
        raise BackupUnusable(f"{folder} is no backup, or one that was not finished: it has no {MANIFEST}.") from None
    except (ValueError, LookupError, TypeError) as error:
        raise BackupUnusable(f"{folder / MANIFEST} cannot be read ({error}).") from None
    there = {str(file.relative_to(folder)): _digest(file) for file in _files(folder)}
    for name in sorted(manifest.files.keys() | there.keys()):
        if manifest.files.get(name) != there.get(name):
            raise BackupUnusable(f"{folder / name} is not the file that was copied; take another backup.")
    if NAME not in there:
        raise BackupUnusable(f"{folder} has no {NAME}.")
    return manifest


def belongings(path: Path) -> list[Path]:
    """What there is of a database: the file, what SQLite keeps beside it, its keys, how far it had come."""
    return [part for suffix in _PARTS if (part := path.with_name(path.name + suffix)).exists()]


def move_away(path: Path, at: datetime) -> Path | None:
    """Rename everything that there is of a database, and name the file it is now; None when there is nothing."""
    found = belongings(path)
    name = f"{path.name}.before-{at:%Y%m%dT%H%M%S%fZ}"
    for part in found:
        part.rename(path.with_name(name + part.name.removeprefix(path.name)))
    _sync(path.parent)
    return path.with_name(name) if found else None


def put_back(folder: Path, path: Path, manifest: Manifest) -> None:
    """Put a backup where there is nothing. The database comes last: without it, keys alone are not served.

    Raises:
        FileExistsError: there is something.
    """
    keys, unfinished = path.with_name(path.name + KEYS), path.with_name(path.name + ".new")
    if found := belongings(path):
        raise FileExistsError(f"{found[0]} is there already.")
    _copy_keys(folder / (NAME + KEYS), keys)
    unfinished.unlink(missing_ok=True)
    _copy_file(folder / NAME, unfinished)
    for each in (*keys.iterdir(), keys, unfinished):
        _sync(each)
    Head(path).replace(manifest.reached)
    unfinished.rename(path)
    _sync(path.parent)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST)


def _copy_keys(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    if source.is_dir():
        for file in sorted(source.iterdir()):
            # A name with a dot in front is a key that is being written.
            if not file.name.startswith(".") and not (target / file.name).exists():
                _copy_file(file, target / file.name)


def _copy_file(source: Path, target: Path) -> None:
    with (
        source.open("rb") as reading,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
    ):
        shutil.copyfileobj(reading, out, _PIECE)


def _digest(file: Path) -> str:
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
