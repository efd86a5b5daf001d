"""Does an exported log prove itself? Reads the file strictly, then asks `act.audit.verify`."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Final

import click

from act.strict_json import AmbiguousJson, MalformedJson, loads

if TYPE_CHECKING:
    from act.audit.merkle import Frontier
    from act.audit.notes import Checkpoint
    from act.audit.verify import Finding, Line
    from act.client.act import Act
    from act.models import InclusionProof

NO_KEY: Final = (
    "Warning: no --key was given. The key was taken from the export itself, which proves nothing against whoever wrote "
    "the export: keep the verifier key of `actctl audit checkpoint` elsewhere and give it with --key."
)
_CUT_OFF: Final = "The export is cut off: it does not end with a checkpoint, so records may be missing at its end."
_MEMBERS: Final = frozenset({"index", "leafHash", "record"})
_BESIDE: Final = frozenset({"arguments", "salt"})
_LONGEST_LINE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_MOST_PACKED: Final = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, of the records from `begin` on of a log of `size`.

    `root` is hex; `checkpoints` counts the kept ones that fit; `origin` is the log's name.

    `erased` counts the records of which the arguments were kept, and are no more.
    """

    ok: bool
    message: str
    size: int = 0
    root: str | None = None
    bad_index: int | None = None
    checkpoints: int = 0
    origin: str | None = None
    erased: int = 0
    begin: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "message": self.message,
            "size": self.size,
            "rootHash": self.root,
            "badIndex": self.bad_index,
            "checkpoints": self.checkpoints,
            "origin": self.origin,
            "erased": self.erased,
            "begin": self.begin,
        }


def proven(act: Act, index: int, note: str | None, key: str | None) -> InclusionProof:
    """A proof, checked, that a record is in the log of a checkpoint.

    Raises:
        click.ClickException: it is not, or it is not proven.
    """
    from act.audit.merkle import leaf_hash
    from act.audit.notes import NoteInvalid, verify
    from act.audit.proofs import root_from_inclusion
    from act.audit.record import encode

    head = act.audit.checkpoint()
    try:
        signed = verify(note if note is not None else head.note, key if key is not None else head.verifier_key)
        if index >= signed.size:
            raise click.ClickException(f"The checkpoint is of {signed.size} records, so there is no record {index}.")
        proof = act.audit.inclusion(index, signed.size)
        leaf = leaf_hash(encode(act.audit.get(index).record))
        root = root_from_inclusion(leaf, index, signed.size, [bytes.fromhex(each) for each in proof.hashes])
    except (NoteInvalid, ValueError) as error:
        raise click.ClickException(f"Not proven: {error}") from None
    if root != signed.root:
        raise click.ClickException(f"Record {index}, as it is shown now, is not in the log that the checkpoint signed.")
    return proof


class _Bad(Exception):
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


def _unpack(packed: IO[bytes], plain: IO[bytes], most: int) -> None:
    try:
        with gzip.open(packed) as unpacked:
            while piece := unpacked.read(1 << 16):
                plain.write(piece)
                if plain.tell() > most:
                    raise click.ClickException("The file is packed more than an archive can be; it is none.")
    except (OSError, EOFError, zlib.error) as error:
        raise click.ClickException(f"The archive is damaged, or cut off: {error}") from None


def verified(export: IO[bytes], kept: Mapping[str, str], key: str | None) -> Result:
    """Judge one export, or one archive; as `all_verified`."""
    return all_verified({"the export": export}, kept, key)


def all_verified(exports: Mapping[str, IO[bytes]], kept: Mapping[str, str], key: str | None) -> Result:
    """Judge exports and archives, which together are one log, or a part of one without a gap.

    Args:
        exports: files that can be read twice, by the name to call them in messages; in any order.
        kept: signed notes from elsewhere, by the name to call them in messages.
        key: the verifier key; None takes the one in the last file.

    Raises:
        click.ClickException: the server's part, which has the hashing, is not installed.
    """
    try:
        import act.audit.verify  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            f"Verifying needs a package that is not there ({error.name}); "
            "run: pip install 'agent-capability-tokens[server]'"
        ) from None

    origin = None
    try:
        parts = sorted((_part(name, file) for name, file in exports.items()), key=lambda part: part.before.size)
        checkpoints = _checkpoints(parts, kept, key)
        origin = checkpoints[0].origin if checkpoints else None
        return _in_order(parts, _one_a_size(checkpoints), len(kept), origin)
    except _Bad as bad:
        return Result(False, bad.message, bad.index or 0, bad_index=bad.index, origin=origin)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file: what the log was before it, and the checkpoint that closes it, if one does."""

    name: str
    file: IO[bytes]
    before: Frontier
    head: dict[str, Any] | None


def _part(name: str, file: IO[bytes]) -> _Part:
    return _Part(name, file, _before(file), _head(file))


def _in_order(parts: list[_Part], checkpoints: list[Checkpoint], kept: int, origin: str | None) -> Result:
    """Judge files that begin where the one before them ends."""
    from act.audit.verify import verify

    begin, erased = parts[0].before.size, 0
    former: tuple[_Part, Finding] | None = None
    for part in parts:
        if former is not None:
            _follows(part, *former)
        last, end = part is parts[-1], part.head["size"] if part.head else 0
        mine = [one for one in checkpoints if last or one.size <= end]
        checkpoints = [one for one in checkpoints if one not in mine]
        finding = verify(_lines(part.file), mine, part.before)
        former, erased = (part, finding), erased + finding.erased
        found = Result(finding.ok, finding.message, finding.size, finding.root.hex(), finding.bad_index, 0, origin)
        found = replace(found, erased=erased, begin=begin)
        if not finding.ok:
            return found
        if part.head is None:
            return replace(found, ok=False, message=_cut_off(part.name), bad_index=found.size)
        if finding.size != end:
            # verify() says so when records are missing; more of them than the checkpoint covers is the other case.
            message = f"{_sentence(part.name)} has {finding.size} records, but its checkpoint covers {end}."
            return replace(found, ok=False, message=message, bad_index=int(end))
    return replace(found, message=_verified(begin, found.size, erased), checkpoints=kept)


def _verified(begin: int, size: int, erased: int) -> str:
    after = f", from {begin} on; those before are in other files" if begin else ""
    message = f"{size - begin} records verified{after}."
    return f"{message} Of {erased} the arguments were erased." if erased else message


def _follows(part: _Part, former: _Part, finding: Finding) -> None:
    """Let no file stand after another that it does not belong to."""
    before, size = part.before, finding.size
    if before.size > size:
        raise _Bad(f"The records from {size} to {before.size - 1} are in none of the files.", size)
    if before.size < size:
        raise _Bad(f"Record {before.size} is in {former.name} and in {part.name}.", before.size)
    if before.root() != finding.root:
        raise _Bad(f"{_sentence(part.name)} goes on with another log than that of {former.name}.", size)


def _sentence(name: str) -> str:
    return name[0].upper() + name[1:]


def _cut_off(name: str) -> str:
    return _CUT_OFF.replace("The export", _sentence(name))


def _checkpoints(parts: list[_Part], kept: Mapping[str, str], key: str | None) -> list[Checkpoint]:
    """All checkpoints that the log must agree with, their signatures verified: those of the files, then those kept."""
    from act.audit import notes

    heads = [(f"at the end of {part.name}", part.head) for part in parts if part.head]
    if not heads and key is None:
        return []
    verifier = key if key is not None else str(heads[-1][1]["verifierKey"])
    found: list[Checkpoint] = []
    given = [(where, head["note"]) for where, head in heads] + [(f"in {name}", text) for name, text in kept.items()]
    for where, note in given:
        try:
            found.append(notes.verify(note, verifier))
        except notes.NoteInvalid as error:
            raise _Bad(f"The checkpoint {where} does not hold: {error}") from None
        if found[-1].origin != found[0].origin:
            raise _Bad(f"The checkpoint {where} is of another log, '{found[-1].origin}'.")
    for (where, head), checkpoint in zip(heads, found, strict=False):
        if (head["size"], head["rootHash"]) != (checkpoint.size, checkpoint.root.hex()):
            raise _Bad(f"The checkpoint {where} says something else than its signed note.")
        if not checkpoint.origin.endswith(f"/audit/{head['tenantId']}"):
            raise _Bad(f"The checkpoint {where} is not of the tenant '{head['tenantId']}'.")
    return found


def _one_a_size(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without repetitions. Two roots of one size mean that the log was rewritten."""
    by_size: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if by_size.setdefault(checkpoint.size, checkpoint).root != checkpoint.root:
            raise _Bad(f"Two checkpoints of {checkpoint.size} records differ: the log was rewritten.")
    return list(by_size.values())


def _before(export: IO[bytes]) -> Frontier:
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
        raise _Bad("The first line does not say what the log was before it.") from None


def begun(export: IO[bytes]) -> tuple[Finding, int]:
    """Judge an export that may be cut off: its records up to the last whole line, and where in the file they end.

    Raises:
        click.ClickException: a record in it is not what was logged.
    """
    from act.audit.verify import verify

    end = 0

    def lines() -> Iterator[Line]:
        nonlocal end
        first = _before(export)
        export.seek(0)
        if first.size:
            end += len(export.readline())
        for position, text in enumerate(export, first.size):
            if not text.endswith(b"\n") or text.startswith(b'{"checkpoint":'):
                return
            yield _line(_parsed(text, position), position)
            end += len(text)

    try:
        finding = verify(lines(), (), _before(export))
    except _Bad as bad:
        raise click.ClickException(f"The file cannot be gone on with. {bad.message}") from None
    if not finding.ok:
        raise click.ClickException(f"The file cannot be gone on with. {finding.message}")
    return finding, end


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
        raise _Bad("The checkpoint at the end of the export has not the members it should have.")
    if type(head["size"]) is not int or any(not isinstance(head[name], str) for name in texts):
        raise _Bad("The checkpoint at the end of the export has members of the wrong type.")
    found: dict[str, Any] = head
    return found


def _lines(export: IO[bytes]) -> Iterator[Line]:
    """The records, each exactly as an export writes it. Ends at the checkpoint."""
    first = _before(export).size
    export.seek(0)
    if first:
        export.readline()
    ended = False
    for position, text in enumerate(export, first):
        if ended:
            raise _Bad("There are lines after the checkpoint that closes the export.", position - 1)
        line = _parsed(text, position)
        if isinstance(line, dict) and set(line) == {"checkpoint"}:
            ended = True
            continue
        yield _line(line, position)


def _parsed(text: bytes, position: int) -> Any:
    try:
        # Strictly: of a key that stands twice a person may read the one and a hash cover the other.
        return loads(text)
    except (MalformedJson, AmbiguousJson) as error:
        if not text.endswith(b"\n"):
            raise _Bad(f"{_CUT_OFF} Record {position} is not whole.", position) from None
        raise _Bad(f"Record {position} cannot be read: {error}", position) from None


def _line(line: Any, position: int) -> Line:
    from act.audit.verify import Line

    if not isinstance(line, dict) or set(line) not in (_MEMBERS, _MEMBERS | _BESIDE):
        raise _Bad(f"Record {position} has not the members index, leafHash and record.", position)
    index, leaf_hash, record = line["index"], line["leafHash"], line["record"]
    if type(index) is not int or not isinstance(leaf_hash, str) or not isinstance(record, dict):
        raise _Bad(f"Record {position} has members of the wrong type.", position)
    arguments, salt = line.get("arguments"), line.get("salt")
    if "salt" in line and not (isinstance(arguments, dict) and isinstance(salt, str)):
        raise _Bad(f"Record {position} has members of the wrong type.", position)
    return Line(index, leaf_hash, record, arguments, salt)
