"""Secrets that ACT shows once: printed alone on stdout, or written to a file that only its owner can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from act.cli.command import wants_json
from act.cli.files import SECRET, new_file
from act.cli.output import Column, cell, print_json, print_one, say

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


def issue(make: Callable[[], M], member: str, columns: Sequence[Column[M]], save: Path | None) -> M:
    """Make something that carries a secret, and hand it over.

    With `save`, the secret is in that file (mode 0600) and nowhere else; the rest is printed. Without, the secret is
    all that stands on stdout, so that `TOKEN=$(actctl ...)` works, and the rest is words; JSON has everything.

    Args:
        member: the name of the secret member, the same in Python and on the wire.
        columns: what to show beside the secret.
    """
    with ExitStack() as stack:
        file = stack.enter_context(new_file(save, SECRET)) if save else None
        made = make()
        if file:
            file.write(f"{getattr(made, member)}\n".encode())
    if save:
        if wants_json():
            print_json(made.model_dump(mode="json", exclude={member}))
        else:
            print_one(made, columns)
        say(f"The {member} is in {save}; it is kept nowhere else.")
    elif wants_json():
        print_json(made)
    else:
        click.echo(getattr(made, member))
        say("  ".join(f"{heading}: {cell(value(made))}" for heading, value in columns))
        say(f"The {member} is shown once and kept nowhere.")
    return made
