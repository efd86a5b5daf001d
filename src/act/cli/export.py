"""`actctl audit export`: a file is whole, or it says that it is not and can be gone on with."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from act.cli.command import given_url
from act.cli.connection import sentence
from act.cli.files import SHARED
from act.cli.running import FAILED, INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from act.client.act import Act
    from act.client.errors import ActError

PARTIAL: Final = ".partial"
NO_END: Final = "The export is cut off: it does not end with a checkpoint."


class BrokenOff(Exception):
    """It ended before its end, after so many records; the message says why. `code` is the exit code for that."""

    def __init__(self, message: str, count: int, code: int = FAILED) -> None:
        super().__init__(message)
        self.count = count
        self.code = code


class _Terminated(BaseException):
    """SIGTERM came."""


class _EndedByInterrupt(click.ClickException):
    exit_code = INTERRUPTED


class _EndedByTermination(click.ClickException):
    exit_code = TERMINATED


_ENDS: Final = {each.exit_code: each for each in (_EndedByInterrupt, _EndedByTermination)}


def copy(lines: Iterator[bytes], out: IO[bytes]) -> int:
    """Copy an export; how many records it had.

    Raises:
        BrokenOff: it is not whole.
    """
    from act.client.errors import ActError

    count, last = 0, b""
    try:
        with _terminable():
            for last in lines:
                out.write(last + b"\n")
                count += last.startswith(b'{"index":')
    except ActError as error:
        raise BrokenOff(_words(error), count) from None
    except (KeyboardInterrupt, _Terminated) as error:
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED
        raise BrokenOff("Interrupted.", count, code) from None
    if not last.startswith(b'{"checkpoint":'):
        raise BrokenOff(NO_END, count)
    return count


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, too, end the block with words."""

    def end(*_: object) -> None:
        raise _Terminated

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _words(error: ActError) -> str:
    """A connection that ended in the middle says nothing about the address of the server."""
    from act.client.act import settings
    from act.client.errors import Unreachable

    if isinstance(error, Unreachable) and error.sent:
        asked = settings(given_url(), None)[0]
        return f"The connection to {asked} ended before the export did. When it does again, the server's log says why."
    return sentence(error)


def to_stream(act: Act, out: IO[bytes]) -> int:
    """The log as it is; how many records it has.

    Raises:
        click.ClickException: it broke off; says after how many.
    """
    try:
        count = copy(act.audit.export_lines(), out)
    except BrokenOff as broken:
        raise _failed(f"{broken}\nThe export broke off after {broken.count} records.", broken) from None
    finally:
        out.flush()
    return count


def to_file(act: Act, file: Path) -> int:
    """The log as it is, in a file that has its name when it is whole; how many records it has.

    Raises:
        click.ClickException: it broke off. What there was is in a file beside it, unless it was nothing.
    """
    partial = _partial(file)
    if partial.exists():
        raise click.ClickException(
            f"{partial} is there, of an export that broke off: give --resume {file}, or remove it."
        )
    with _opened(partial, os.O_CREAT | os.O_EXCL) as out:
        try:
            count = copy(act.audit.export_lines(), out)
        except BrokenOff as broken:
            if broken.count == 0:
                partial.unlink()
                raise _failed(f"{broken} No record had come yet; run the same command again.", broken) from None
            raise _broken(broken, file) from None
        _durable(out)
    partial.replace(file)
    return count


def resume(act: Act, file: Path) -> tuple[int, int]:
    """Go on with an export that broke off, or that has become old; how many records were there, and came.

    Raises:
        click.ClickException: what is there is not the begin of the server's log; it was not touched. Or it broke off
            again: then it is longer.
    """
    from act.cli.verify import begun, verified

    partial = _partial(file)
    if not partial.exists():
        if not file.is_file():
            raise click.ClickException(f"There is neither {partial} nor {file} to go on with.")
        shutil.copyfile(file, partial)
    with _opened(partial, 0) as out:
        try:
            finding, end = begun(out)
            lines = act.audit.export_lines(finding.size or None)
            if finding.size:
                _fits(_first(lines), finding.size, finding.root)
        except BaseException:
            _put_back(partial, file)
            raise
        out.seek(end)
        out.truncate()
        try:
            count = copy(lines, out)
        except BrokenOff as broken:
            raise _broken(broken, file, finding.size) from None
        _durable(out)
        found = verified(out, {}, None)
        if not found.ok and not found.unnamed:  # a file without them is what the server has
            out.truncate(end)
            raise click.ClickException(f"What the server sent does not go on with the file: {found.message}")
    partial.replace(file)
    return found.size - found.begin - count, count


def _first(lines: Iterator[bytes]) -> bytes:
    from act.client.errors import ActError

    try:
        return next(lines, b"")
    except ActError as error:
        raise click.ClickException(_words(error)) from None


def _put_back(partial: Path, file: Path) -> None:
    """The copy of a whole export is no export that broke off."""
    if file.is_file() and file.stat().st_size == partial.stat().st_size:
        partial.unlink()


def _fits(line: bytes, size: int, root: bytes) -> None:
    """Let nothing be added to a file that is not the begin of the server's log."""
    from act.cli.log_files import began

    before = began(line)
    if before is None or (before.size, before.root()) != (size, root):
        raise click.ClickException(f"The first {size} records of the server's log are not those in the file.")


def _broken(broken: BrokenOff, file: Path, there: int | None = None) -> click.ClickException:
    """What to do with a part; `there` is the size of the log that was in the file when it was gone on with."""
    partial = _partial(file)
    words = f"The export broke off after {broken.count} records, which are in {partial}."
    if there is not None:
        words = f"The export broke off at record {there + broken.count}; all before are in {partial}."
        if broken.count == 0 and broken.code == FAILED:
            words += " Nothing more came: should it stay so, run `actctl doctor --deep` on the server's machine."
    return _failed(f"{broken}\n{words} Go on with: actctl audit export --resume {shlex.quote(str(file))}", broken)


def _failed(words: str, broken: BrokenOff) -> click.ClickException:
    return _ENDS.get(broken.code, click.ClickException)(words)


def _partial(file: Path) -> Path:
    if file.exists() and not file.is_file():
        raise click.ClickException(f"{file} is not a file.")
    return file.with_name(file.name + PARTIAL)


def _opened(path: Path, flags: int) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | flags, SHARED), "r+b")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None


def _durable(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())
