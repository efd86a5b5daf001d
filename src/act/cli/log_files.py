"""The files of a log, exports and archives, read strictly."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import click

from act.strict_json import AmbiguousJson, MalformedJson, loads

if TYPE_CHECKING:
    from act.audit.merkle import Frontier
    from act.audit.verify import Line

CUT_OFF: Final = "The export is cut off: it does not end with a checkpoint, so records may be missing at its end."
_MEMBERS: Final = frozenset({"index", "leafHash", "record"})
_BESIDE: Final = frozenset({"arguments", "salt"})
_LONGEST_LINE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_MOST_PACKED: Final = 200


class BadExport(Exception):
    """The export is not one; `index` is where."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.index = index


@contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A temporary copy that can be read twice: the checkpoint at the end says how the records are to be judged.

    What is gzipped, as archives are, is unpacked.

    Raises:
        click.ClickException: it is gzipped, and not one whole file.
    """
    with tempfile.TemporaryFile() as copy, tempfile.TemporaryFile() as plain:
        copy.writelines(chunks)
        size = copy.tell()
        copy.seek(0)
        packed = copy.read(2) == _GZIP
        copy.seek(0)
        if packed:
            _unpack(copy, plain, size * _MOST_PACKED + _LONGEST_LINE)
        yield plain if packed else copy


def is_packed(file: IO[bytes]) -> bool:
    """Whether it is gzipped, as an archive is, whatever its name; nothing is read from it that is not read again."""
    peek = getattr(file, "peek", None)
    return peek is not None and peek(len(_GZIP))[: len(_GZIP)] == _GZIP


def _unpack(packed: IO[bytes], plain: IO[bytes], most: int) -> None:
    try:
        with gzip.open(packed) as unpacked:
            while piece := unpacked.read(1 << 16):
                plain.write(piece)
                if plain.tell() > most:
                    raise click.ClickException("The file is packed more than an archive can be; it is none.")
    except (OSError, EOFError, zlib.error) as error:
        raise click.ClickException(f"The archive is damaged, or cut off: {error}") from None


@dataclass(frozen=True, slots=True)
class Part:
    """One file: what the log was before it, and the checkpoint that closes it, if one does."""

    name: str
    file: IO[bytes]
    before: Frontier
    head: dict[str, Any] | None

    @property
    def begin(self) -> int:
        """The index of its first record."""
        return self.before.size

    @property
    def end(self) -> int:
        """How many records the log had at its checkpoint; 0 when none closes it."""
        return int(self.head["size"]) if self.head else 0


def part_of(name: str, file: IO[bytes]) -> Part:
    return Part(name, file, log_before(file), _head(file))


def log_before(export: IO[bytes]) -> Frontier:
    """What the log was before the first record of the file, from its first line; nothing, when it begins with record 0.

    The roots prove nothing by themselves: the checkpoint does, whose root they lead to with the records.
    """
    from act.audit.merkle import Frontier

    export.seek(0)
    return began(export.readline(_LONGEST_LINE)) or Frontier()


def began(text: bytes) -> Frontier | None:
    """What a first line says that the log was before; None when it is no such line."""
    from act.audit.merkle import Frontier

    try:
        line = loads(text)
    except (MalformedJson, AmbiguousJson):
        return None
    if not isinstance(line, dict) or set(line) != {"begin"}:
        return None
    begin = line["begin"]
    try:
        if set(begin) != {"index", "roots"} or type(begin["index"]) is not int or begin["index"] < 1:
            raise ValueError
        return Frontier.from_bytes(begin["index"], b"".join(_hash(root) for root in begin["roots"]))
    except (AttributeError, TypeError, ValueError):
        raise BadExport("The first line does not say what the log was before it.") from None


def _hash(text: str) -> bytes:
    """32 bytes, in the one way in which they are written in hex."""
    found = bytes.fromhex(text)
    if len(found) != 32 or found.hex() != text:
        raise ValueError
    return found


def _head(export: IO[bytes]) -> dict[str, Any] | None:
    """The checkpoint in the last line, or None when there is none there."""
    end = export.seek(0, 2)
    start = export.seek(max(0, end - _LONGEST_LINE))
    *before, last = export.read().rstrip(b"\n").split(b"\n")
    if start > 0 and not before:
        return None
    try:
        line = loads(last)
    except (MalformedJson, AmbiguousJson):
        return None
    if not isinstance(line, dict) or set(line) != {"checkpoint"}:
        return None
    head = line["checkpoint"]
    texts = ("tenantId", "rootHash", "note", "verifierKey")
    if not isinstance(head, dict) or set(head) != {*texts, "size"}:
        raise BadExport("The checkpoint at the end of the export has not the members it should have.")
    if type(head["size"]) is not int or any(not isinstance(head[name], str) for name in texts):
        raise BadExport("The checkpoint at the end of the export has members of the wrong type.")
    found: dict[str, Any] = head
    return found


def records_of(export: IO[bytes]) -> Iterator[Line]:
    """The records, each exactly as an export writes it. Ends at the checkpoint."""
    first = log_before(export).size
    export.seek(0)
    if first:
        export.readline()
    ended = False
    for position, text in enumerate(export, first):
        if ended:
            raise BadExport("There are lines after the checkpoint that closes the export.", position - 1)
        line = parsed(text, position)
        if isinstance(line, dict) and set(line) == {"checkpoint"}:
            ended = True
            continue
        yield record_of(line, position)


def parsed(text: bytes, position: int) -> Any:
    try:
        # Strictly: of a key that stands twice a person may read the one and a hash cover the other.
        return loads(text)
    except (MalformedJson, AmbiguousJson) as error:
        if not text.endswith(b"\n"):
            raise BadExport(f"{CUT_OFF} Record {position} is not whole.", position) from None
        raise BadExport(f"Record {position} cannot be read: {error}", position) from None


def record_of(line: Any, position: int) -> Line:
    from act.audit.verify import Line

    if not isinstance(line, dict) or set(line) not in (_MEMBERS, _MEMBERS | _BESIDE):
        raise BadExport(f"Record {position} has not the members index, leafHash and record.", position)
    index, leaf_hash, record = line["index"], line["leafHash"], line["record"]
    if type(index) is not int or not isinstance(leaf_hash, str) or not isinstance(record, dict):
        raise BadExport(f"Record {position} has members of the wrong type.", position)
    arguments, salt = line.get("arguments"), line.get("salt")
    if "salt" in line and not (isinstance(arguments, dict) and isinstance(salt, str)):
        raise BadExport(f"Record {position} has members of the wrong type.", position)
    return Line(index, leaf_hash, record, arguments, salt)
