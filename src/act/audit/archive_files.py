"""Archives as files: a part of the export, gzipped, that proves itself (`actctl audit verify FILE`).

A file is written beside its name, made durable, and read back before anything rests on it. Nothing is overwritten.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_UNFINISHED: Final = ".new"
_READ: Final = 1 << 16
_NAMED = re.compile(r"([0-9]{12})-([0-9]{12})\.jsonl\.gz(?:\.[0-9a-f]{16})?")
"""What this module calls its files: an archive, or one that was moved aside."""


class ArchiveInvalid(Exception):
    """The file does not hold what it should; the message says since when."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`sha256` in hex, of `bytes` bytes."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the folder that is named as an archive of the records from `first` to `end` (exclusive)."""

    path: Path
    first: int
    end: int


def name(first: int, end: int) -> str:
    """What the archive of the records from `first` to `end` (exclusive) is called."""
    return f"{first:012d}-{end:012d}.jsonl.gz"


def found(folder: Path) -> list[Found]:
    """The files that are named as archives, also those that were moved aside.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    named = ((path, _NAMED.fullmatch(path.name)) for path in paths if path.is_file() and not path.is_symlink())
    return [Found(path, int(match[1]), int(match[2])) for path, match in named if match]


def drop_unfinished(folder: Path) -> None:
    """Delete what a process that was killed had begun to write.

    Raises:
        OSError: it cannot be deleted.
    """
    for left in folder.glob(f"*{_UNFINISHED}"):
        left.unlink()


def write(path: Path, pieces: Iterator[bytes]) -> None:
    """Write the file, durable when this returns. What stands there with other content is moved aside, and kept.

    Raises:
        OSError: it could not be written; nothing but an earlier file is there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    drop_unfinished(path.parent)
    unfinished = path.with_name(path.name + _UNFINISHED)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Without a time or a name in it, so that the same records are the same bytes.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                for piece in pieces:
                    packed.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and digest(path) != digest(unfinished):
            path.rename(path.with_name(f"{path.name}.{digest(path).sha256[:16]}"))
        unfinished.replace(path)
        for folder in path.parents[:3]:  # those above it may be new, too
            _sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def lines(path: Path) -> Iterator[bytes]:
    """The lines of an archive, without their ends.

    Raises:
        ArchiveInvalid: it is not there, or not one whole gzip file of lines.
    """
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    raise ArchiveInvalid(f"{path} is cut off.")
                yield line[:-1]
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveInvalid(f"{path} cannot be read: {error}") from error


def digest(path: Path) -> Stored:
    """What is in a file now.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> Stored:
    size, hashed = 0, hashlib.sha256()
    while piece := file.read(_READ):
        size += len(piece)
        hashed.update(piece)
    return Stored(size, hashed.hexdigest())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
