"""Files that commands write: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

SECRET: Final = 0o600
SHARED: Final = 0o666
"""What the umask leaves of it."""


@contextmanager
def new_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well, and of nothing when it does not.

    It is opened before the block begins, so that a secret that is shown once is not asked for in vain.

    Raises:
        click.ClickException: the file cannot be written there.
    """
    if path.exists() and not path.is_file():
        raise click.ClickException(f"{path} is not a file.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
