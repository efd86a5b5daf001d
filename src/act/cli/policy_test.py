"""`actctl policies test`, `lint` and `diff`: policies in files, before they are on a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from act.cli.command import Group, OfflineCommand, wants_json
from act.cli.connection import connected
from act.cli.output import Column, cell, json_text, print_json, print_list, say
from act.cli.policies import policies
from act.cli.policy_files import UNUSABLE, Blamed, engine, load_bundle, load_suite, tell
from act.cli.running import FAILED

if TYPE_CHECKING:
    from act.cli.policy_changes import Change

policy = Group("policy", commands=policies.commands, help="The same as `policies`.")

_files = click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False)
)

Row = dict[str, Any]
_FINDINGS: list[Column[Row]] = [
    (name, lambda row, name=name: row[name])  # type: ignore[misc]
    for name in ("file", "pointer", "level", "code", "message")
]


@policies.command(cls=OfflineCommand)
@_files
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit report there too.")
@click.option("-v", "--verbose", is_flag=True, help="Show every cell of a matrix, not only those that failed.")
@click.pass_context
def test(context: click.Context, files: tuple[str, ...], junit: Path | None, verbose: bool) -> None:
    """Run suites of expected decisions against policies in files.

    Needs no server and changes nothing. Exits with 0 when everything is as expected, 1 when not, 2 when a file cannot
    be used.

    \b
    Example:
      actctl policy test policies/*.suite.yaml --junit report.xml
    """
    from act.cli.files import SHARED, new_file
    from act.cli.suite_report import Ran, as_json, as_junit, print_tree

    with engine():
        blamed: list[Blamed] = []
        suites = [(path, load_suite(path, blamed)) for path in files]
    if blamed:
        tell(blamed)
        context.exit(UNUSABLE)
    now = datetime.now(UTC)
    ran = [Ran(path, suite.about, suite.run(now)) for path, suite in suites if suite is not None]
    if junit is not None:
        with new_file(junit, SHARED) as out:
            out.write(as_junit(ran))
    if wants_json():
        print_json(as_json(ran))
    else:
        print_tree(ran, verbose=verbose)
    failed, total = sum(suite.failed for suite in ran), sum(len(suite.results) for suite in ran)
    say(f"{total - failed} of {total} decisions are as expected.")
    context.exit(FAILED if failed else 0)


@policies.command(cls=OfflineCommand)
@_files
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.pass_context
def lint(context: click.Context, files: tuple[str, ...], strict: bool) -> None:
    """All faults and warnings of policies in files.

    A file has one policy, a list of them, or `policies: [...]`; all files together are judged as one tenant. Needs no
    server. Exits with 1 when there are faults.
    """
    with engine():
        from act.policies.bundle import all_warnings, repeated_ids

        blamed: list[Blamed] = []
        written = [policy for path in dict.fromkeys(files) for policy in load_bundle(path, blamed).policies]
    rows = [_finding(one.file, one.fault.pointer, "fault", "document_invalid", one.fault.message) for one in blamed]
    for policy, message in repeated_ids(written):
        rows.append(_finding(policy.file, f"{policy.pointer}/id", "fault", "policy_id_taken", message))
    faults = len(rows)
    for policy, warned in all_warnings(written):
        rows.append(_finding(policy.file, policy.pointer, "warning", warned.code, warned.message))
    print_list(rows, _FINDINGS, nothing=f"{_count(len(written), 'policy', 'policies')}: nothing to say against them.")
    if rows:
        say(f"{_count(faults, 'fault', 'faults')}, {_count(len(rows) - faults, 'warning', 'warnings')}.")
    context.exit(FAILED if faults or (strict and rows) else 0)


def _finding(file: str, pointer: str, level: str, code: str, message: str) -> Row:
    return {"file": file, "pointer": pointer, "level": level, "code": code, "message": message}


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@policies.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--against", metavar="ID", help="Compare with this policy; FILE must have one policy only.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when anything would change.")
@click.pass_context
def diff(context: click.Context, file: str, against: str | None, exit_code: bool) -> None:
    """What the policies of a file would change on the server.

    Each is compared with the policy of its id there, or else with the one of its name. Changes nothing.
    """
    from act.cli.policy_changes import changes_of

    with engine():
        blamed: list[Blamed] = []
        written = load_bundle(file, blamed).policies
    if blamed:
        tell(blamed)
        context.exit(UNUSABLE)
    if against is not None and len(written) != 1:
        raise click.UsageError(f"--against is for one policy; {file} has {len(written)}.")
    with connected() as act:
        changes = changes_of(act, [policy.draft for policy in written], against)
    if wants_json():
        print_json([change.as_json() for change in changes])
    else:
        for change in changes:
            _print_change(change)
    if exit_code and any(change.kind != "same" for change in changes):
        context.exit(FAILED)


def _print_change(change: Change) -> None:
    of = f" ({change.id} v{change.version})" if change.id else ""
    click.echo(cell(f"{change.kind}: {change.name}{of}"))
    for place in change.places:
        click.echo(cell(f"  {place.pointer}"))
        if change.kind != "new":
            click.echo(f"    - {json_text(place.before, indent=None)}")
        click.echo(f"    + {json_text(place.after, indent=None)}")
