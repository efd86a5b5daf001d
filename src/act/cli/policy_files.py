"""Files of policies and suites, as the commands that work on them read and blame them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from act.cli.output import say
from act.strict_json import Fault

if TYPE_CHECKING:
    from act.policies.bundle import Bundle
    from act.policies.suite import Suite

UNUSABLE = 2


class Blamed(NamedTuple):
    """A fault and the file it is in."""

    file: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.file}: {self.fault.pointer or '(document)'}: {self.fault.message}"


@contextmanager
def engine() -> Iterator[None]:
    """Where the engine and PyYAML are imported; says what to install when they are not there."""
    try:
        yield
    except ImportError as error:
        raise click.ClickException(
            f"This needs a package that is not there ({error.name}); run: pip install 'agent-capability-tokens[server]'"
        ) from None


def load(path: str, blamed: list[Blamed]) -> Any:
    """The document in a file; None, and the faults in `blamed`, when it cannot be read."""
    from act.cli.documents import Unreadable, read_file

    try:
        return read_file(path)
    except Unreadable as error:
        blamed += [Blamed(path, fault) for fault in error.faults]
        return None


def load_bundle(path: str, blamed: list[Blamed]) -> Bundle:
    """The policies of a file; the faults of the others are in `blamed`."""
    from act.policies.bundle import Bundle, read_bundle

    before = len(blamed)
    document = load(path, blamed)
    found = read_bundle(document, path) if len(blamed) == before else Bundle()
    blamed += [Blamed(path, fault) for fault in found.faults]
    return found


def load_suite(path: str, blamed: list[Blamed]) -> Suite | None:
    """The suite in a file with the files that it names, relative to itself; None when anything is wrong."""
    from act.policies.suite import SuiteUnusable, files_of, read_suite

    before = len(blamed)
    document = load(path, blamed)
    if len(blamed) > before:
        return None
    imported = []
    for at, name in enumerate(files_of(document)):
        beside = os.path.join(os.path.dirname(path), name)
        if name == "-" or not os.path.isfile(beside):
            blamed.append(Blamed(path, Fault(f"/files/{at}", f"There is no file '{beside}'.")))
        else:
            imported += load_bundle(beside, blamed).policies
    try:
        suite = read_suite(document, imported)
    except SuiteUnusable as error:
        # What only follows from a policy file that is faulty would hide the fault.
        if len(blamed) == before:
            blamed += [Blamed(path, fault) for fault in error.faults]
        return None
    return suite if len(blamed) == before else None


def tell(blamed: Sequence[Blamed]) -> None:
    """Every fault on stderr."""
    for one in blamed:
        say(f"Error: {one}")
