"""Does an exported log prove itself? Reads the file strictly, then asks `act.audit.verify`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import click

from act.strict_json import AmbiguousJson, MalformedJson, loads

if TYPE_CHECKING:
    from act.audit.notes import Checkpoint
    from act.audit.verify import Line
    from act.client.act import Act
    from act.models import InclusionProof

NO_KEY: Final = (
    "Warning: no --key was given. The key was taken from the export itself, which proves nothing against whoever wrote "
    "the export: keep the verifier key of `actctl audit checkpoint` elsewhere and give it with --key."
)
_CUT_OFF: Final = "The export is cut off: it does not end with a checkpoint, so records may be missing at its end."
_MEMBERS: Final = frozenset({"index", "leafHash", "record"})
_LONGEST_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Result:
    """What was found. `root` is hex; `checkpoints` counts the kept ones that fit; `origin` is the log's name."""

    ok: bool
    message: str
    size: int = 0
    root: str | None = None
    bad_index: int | None = None
    checkpoints: int = 0
    origin: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "message": self.message,
            "size": self.size,
            "rootHash": self.root,
            "badIndex": self.bad_index,
            "checkpoints": self.checkpoints,
            "origin": self.origin,
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
    """A temporary copy that can be read twice: the checkpoint at the end says how the records are to be judged."""
    with tempfile.TemporaryFile() as copy:
        copy.writelines(chunks)
        yield copy


def verified(export: IO[bytes], kept: Mapping[str, str], key: str | None) -> Result:
    """Judge an export.

    Args:
        export: a file that can be read twice.
        kept: signed notes from elsewhere, by the name to call them in messages.
        key: the verifier key; None takes the one in the export.

    Raises:
        click.ClickException: the server's part, which has the hashing, is not installed.
    """
    try:
        from act.audit.verify import verify
    except ImportError as error:
        raise click.ClickException(
            f"Verifying needs a package that is not there ({error.name}); "
            "run: pip install 'agent-capability-tokens[server]'"
        ) from None

    origin = None
    try:
        head = _head(export)
        checkpoints = _checkpoints(head, kept, key)
        origin = checkpoints[0].origin if checkpoints else None
        finding = verify(_lines(export), _one_a_size(checkpoints))
    except _Bad as bad:
        return Result(False, bad.message, bad.index or 0, bad_index=bad.index, origin=origin)
    found = Result(finding.ok, finding.message, finding.size, finding.root.hex(), finding.bad_index, 0, origin)
    if not finding.ok:
        return found
    if head is None:
        return Result(False, _CUT_OFF, found.size, found.root, found.size, 0, origin)
    if finding.size != head.get("size"):
        # verify() says so when records are missing; more of them than the checkpoint covers is the other case.
        message = f"The export has {finding.size} records, but its checkpoint covers {head.get('size')}."
        return Result(False, message, found.size, found.root, int(head["size"]), 0, origin)
    return Result(True, found.message, found.size, found.root, None, len(kept), origin)


def _checkpoints(head: dict[str, Any] | None, kept: Mapping[str, str], key: str | None) -> list[Checkpoint]:
    """All checkpoints that the log must agree with, their signatures verified: first its own, then those kept."""
    from act.audit import notes

    if head is None and key is None:
        return []
    verifier = key if key is not None else str(head["verifierKey"]) if head else ""
    found: list[Checkpoint] = []
    given = ([("at the end of the export", head["note"])] if head else []) + [(f"in {n}", t) for n, t in kept.items()]
    for where, note in given:
        try:
            found.append(notes.verify(note, verifier))
        except notes.NoteInvalid as error:
            raise _Bad(f"The checkpoint {where} does not hold: {error}") from None
        if found[-1].origin != found[0].origin:
            raise _Bad(f"The checkpoint {where} is of another log, '{found[-1].origin}'.")
    if head and (head["size"], head["rootHash"]) != (found[0].size, found[0].root.hex()):
        raise _Bad("The checkpoint at the end of the export says something else than its signed note.")
    if head and not found[0].origin.endswith(f"/audit/{head['tenantId']}"):
        raise _Bad(f"The checkpoint at the end of the export is not of the tenant '{head['tenantId']}'.")
    return found


def _one_a_size(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without repetitions. Two roots of one size mean that the log was rewritten."""
    by_size: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if by_size.setdefault(checkpoint.size, checkpoint).root != checkpoint.root:
            raise _Bad(f"Two checkpoints of {checkpoint.size} records differ: the log was rewritten.")
    return list(by_size.values())


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
    from act.audit.verify import Line

    export.seek(0)
    ended = False
    for position, text in enumerate(export):
        if ended:
            raise _Bad("There are lines after the checkpoint that closes the export.", position - 1)
        try:
            # Strictly: of a key that stands twice a person may read the one and a hash cover the other.
            line = loads(text)
        except (MalformedJson, AmbiguousJson) as error:
            if not text.endswith(b"\n"):
                raise _Bad(f"{_CUT_OFF} Record {position} is not whole.", position) from None
            raise _Bad(f"Record {position} cannot be read: {error}", position) from None
        if isinstance(line, dict) and set(line) == {"checkpoint"}:
            ended = True
            continue
        if not isinstance(line, dict) or set(line) != _MEMBERS:
            raise _Bad(f"Record {position} has not the members index, leafHash and record.", position)
        index, leaf_hash, record = line["index"], line["leafHash"], line["record"]
        if type(index) is not int or not isinstance(leaf_hash, str) or not isinstance(record, dict):
            raise _Bad(f"Record {position} has members of the wrong type.", position)
        yield Line(index, leaf_hash, record)
