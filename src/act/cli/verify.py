"""Does an exported log prove itself? Has its files read by `log_files`, then asks `act.audit.verify`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Final

import click

from act.cli.log_files import CUT_OFF, BadExport, Part, log_before, parsed, part_of, record_of, records_of

if TYPE_CHECKING:
    from act.audit.notes import Checkpoint
    from act.audit.verify import Finding, Line

EXPORT: Final = "the export"
NO_KEY: Final = (
    "Warning: no --key was given. The key was taken from the export itself, which proves nothing against whoever wrote "
    "the export: keep the verifier key of `actctl audit checkpoint` elsewhere and give it with --key."
)

MEANWHILE: Final = (
    "Were they erased while this was exported, an export of what came since says so: --resume adds it. "
    "An archive is to be given as it was packed."
)


@dataclass(frozen=True, slots=True)
class Result:
    """What was found, of the records from `begin` on of a log of `size`.

    `root` is hex; `checkpoints` counts the kept ones that fit; `origin` is the log's name.

    `erased` counts the records of which the arguments were kept, and are no more, as the log says. Of `unnamed` ones it
    does not say so; of those, `rewritten` are in archives, which may be rewritten without them.
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
    unnamed: int = 0
    rewritten: int = 0

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
            "unnamed": self.unnamed,
            "rewritten": self.rewritten,
        }


def verified(export: IO[bytes], kept: Mapping[str, str], key: str | None) -> Result:
    """Judge one export, or one archive; as `all_verified`."""
    return all_verified({EXPORT: export}, kept, key)


def all_verified(
    exports: Mapping[str, IO[bytes]], kept: Mapping[str, str], key: str | None, archives: Collection[str] = ()
) -> Result:
    """Judge exports and archives, which together are one log, or a part of one without a gap; they may overlap.

    Args:
        exports: files that can be read twice, by the name to call them in messages; in any order.
        kept: signed notes from elsewhere, by the name to call them in messages.
        key: the verifier key; None takes the one in the last file.
        archives: the names of those that may have been rewritten without the arguments that were kept.

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
        parts = sorted((part_of(name, file) for name, file in exports.items()), key=lambda part: (part.begin, part.end))
        checkpoints = _checkpoints(parts, kept, key)
        origin = checkpoints[0].origin if checkpoints else None
        return _in_order(parts, _one_a_size(checkpoints), len(kept), origin, archives)
    except BadExport as bad:
        return Result(False, bad.message, bad.index or 0, bad_index=bad.index, origin=origin)


def _in_order(
    parts: list[Part], checkpoints: list[Checkpoint], kept: int, origin: str | None, archives: Collection[str]
) -> Result:
    """Judge files, each of which begins at or before the end of those before it.

    Where two overlap, the one that ends first ends with a checkpoint that the other leads to as well: they are the same
    there.
    """
    from act.audit.gone import Gone
    from act.audit.verify import verify

    begin, gone = parts[0].begin, Gone()
    longest = max(parts, key=lambda part: part.end)
    former: tuple[Part, Finding] | None = None
    loose: list[range] = []
    for part in parts:
        if former is not None:
            _follows(part, *former)
        mine = _of(part, checkpoints, first=part is parts[0], last=part is longest)
        later = [one.size for one in mine if one.size > part.end and part.head and part.name in archives]
        finding = verify(records_of(part.file), [one for one in mine if one.size not in later], part.before, gone)
        found = Result(finding.ok, finding.message, finding.size, finding.root.hex(), finding.bad_index, 0, origin)
        found = replace(found, erased=gone.erased, begin=begin)
        if part.name in archives:
            # What an earlier file has was seen there, and is judged as what stands there.
            loose.append(range(former[1].size if former else part.begin, finding.size))
        if not finding.ok:
            return found
        if part.head is None:
            return replace(found, ok=False, message=_cut_off(part.name), bad_index=found.size)
        if finding.size != part.end:
            # verify() says so when records are missing; more of them than the checkpoint covers is the other case.
            message = f"{_sentence(part.name)} has {finding.size} records, but its checkpoint covers {part.end}."
            return replace(found, ok=False, message=message, bad_index=int(part.end))
        if later:
            return replace(found, ok=False, message=_later(finding.size, min(later)), bad_index=found.size)
        if former is None or finding.size > former[1].size:
            former, whole = (part, finding), found
    return _without_arguments(replace(whole, checkpoints=kept, erased=gone.erased), gone.unnamed, loose)


def _of(part: Part, checkpoints: list[Checkpoint], *, first: bool, last: bool) -> list[Checkpoint]:
    """The checkpoints that a file must lead to; what lies outside of all files is left to the first and the last."""
    return [
        one
        for one in checkpoints
        if part.begin <= one.size <= part.end or (first and one.size < part.begin) or (last and one.size > part.end)
    ]


def _later(size: int, saw: int) -> str:
    end = f"The archives end after {size} records, and a checkpoint saw {saw}"
    return f"{end}: give the later files too. When there are none, the tail of the log is missing."


def _without_arguments(found: Result, unnamed: list[int], loose: list[range]) -> Result:
    """Judge what is gone without a record that says so, in files whose hashes all fit.

    In an archive it may be: those may be rewritten, and the record that says so may be in a file that is not here.
    """
    from act.audit.gone import missing

    taken = [index for index in unnamed if not any(index in archive for archive in loose)]
    rewritten = len(unnamed) - len(taken)
    found = replace(found, unnamed=len(unnamed), rewritten=rewritten)
    if taken:
        return replace(found, ok=False, message=f"{missing(taken)} {MEANWHILE}", bad_index=taken[0])
    after = f", from {found.begin} on; those before are in other files" if found.begin else ""
    message = f"{found.size - found.begin} records verified{after}."
    if found.erased:
        message += f" Of {found.erased} the arguments were erased."
    if rewritten:
        message += (
            f" Of {rewritten} in archives they are gone, and no record in these files says that they were erased."
        )
    return replace(found, message=message)


def _follows(part: Part, former: Part, finding: Finding) -> None:
    """Let no file stand after another that it does not belong to."""
    size = finding.size
    if part.begin > size:
        raise BadExport(f"The records from {size} to {part.begin - 1} are in none of the files.", size)
    if part.begin == size and part.before.root() != finding.root:
        raise BadExport(f"{_sentence(part.name)} goes on with another log than that of {former.name}.", size)


def _sentence(name: str) -> str:
    return name[0].upper() + name[1:]


def _cut_off(name: str) -> str:
    return CUT_OFF.replace("The export", _sentence(name))


def _checkpoints(parts: list[Part], kept: Mapping[str, str], key: str | None) -> list[Checkpoint]:
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
            raise BadExport(f"The checkpoint {where} does not hold: {error}") from None
        if found[-1].origin != found[0].origin:
            raise BadExport(f"The checkpoint {where} is of another log, '{found[-1].origin}'.")
    for (where, head), checkpoint in zip(heads, found, strict=False):
        if (head["size"], head["rootHash"]) != (checkpoint.size, checkpoint.root.hex()):
            raise BadExport(f"The checkpoint {where} says something else than its signed note.")
        if not checkpoint.origin.endswith(f"/audit/{head['tenantId']}"):
            raise BadExport(f"The checkpoint {where} is not of the tenant '{head['tenantId']}'.")
    return found


def _one_a_size(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints without repetitions. Two roots of one size mean that the log was rewritten."""
    by_size: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if by_size.setdefault(checkpoint.size, checkpoint).root != checkpoint.root:
            raise BadExport(f"Two checkpoints of {checkpoint.size} records differ: the log was rewritten.")
    return list(by_size.values())


def begun(export: IO[bytes]) -> tuple[Finding, int]:
    """Judge an export that may be cut off: its records up to the last whole line, and where in the file they end.

    Raises:
        click.ClickException: a record in it is not what was logged.
    """
    from act.audit.gone import Gone
    from act.audit.verify import verify

    end = 0

    def lines() -> Iterator[Line]:
        nonlocal end
        first = log_before(export)
        export.seek(0)
        if first.size:
            end += len(export.readline())
        for position, text in enumerate(export, first.size):
            if not text.endswith(b"\n") or text.startswith(b'{"checkpoint":'):
                return
            yield record_of(parsed(text, position), position)
            end += len(text)

    try:
        # What says that arguments were erased may be yet to come.
        finding = verify(lines(), (), log_before(export), Gone())
    except BadExport as bad:
        raise click.ClickException(f"The file cannot be gone on with. {bad.message}") from None
    if not finding.ok:
        raise click.ClickException(f"The file cannot be gone on with. {finding.message}")
    return finding, end
