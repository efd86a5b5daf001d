"""What came out of suites: a tree for people, JSON and JUnit for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import click

from act.cli.text import escaped, one_line

if TYPE_CHECKING:
    from rich.tree import Tree

    from act.policies.suite import Result


@dataclass(frozen=True)
class Ran:
    """The results of the suite in one file."""

    file: str
    about: str
    results: Sequence[Result]

    @property
    def failed(self) -> int:
        return sum(not result.ok for result in self.results)

    @property
    def summary(self) -> str:
        total = len(self.results)
        return f"{total - self.failed} of {total} as expected"


@dataclass(frozen=True)
class _Line:
    """One line of the tree and those below it; `ok` is None for a line that explains the one above it."""

    ok: bool | None
    text: str
    below: Sequence[_Line] = ()


def as_json(ran: Sequence[Ran]) -> dict[str, Any]:
    """The whole report; `ok` is whether everything is as expected."""
    return {
        "ok": not any(suite.failed for suite in ran),
        "suites": [
            {
                "file": suite.file,
                "about": suite.about,
                "ok": not suite.failed,
                "passed": len(suite.results) - suite.failed,
                "failed": suite.failed,
                "cases": [_case(result) for result in suite.results],
            }
            for suite in ran
        ],
    }


def _case(result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "pointer": case.pointer,
        "case": case.title,
        "agent": case.agent,
        "requester": case.requester,
        "action": case.action,
        "resource": case.resource,
        "arguments": dict(case.arguments),
        "context": dict(case.context),
        "expected": case.expected.model_dump(mode="json", by_alias=True, exclude_none=True),
        "decision": result.decision,
        "reasonCode": str(result.code),
        "reason": result.reason,
        "policies": list(result.policies),
        "ok": result.ok,
        "failures": list(result.failures),
    }


def print_tree(ran: Sequence[Ran], *, verbose: bool) -> None:
    """One line for each case; of a matrix only the cells that failed, unless `verbose`."""
    for suite in ran:
        line = _Line(not suite.failed, f"{suite.file}: {suite.summary}", list(_lines(suite, verbose)))
        if sys.stdout.isatty():
            _draw(line)
        else:
            _print(line, 0)


def _lines(suite: Ran, verbose: bool) -> Iterator[_Line]:
    for _, group in groupby(suite.results, key=lambda result: result.case.pointer):
        results = list(group)
        case = results[0].case
        if not case.cell:
            yield _line(results[0], case.title)
            continue
        failed = sum(not result.ok for result in results)
        shown = [result for result in results if verbose or not result.ok]
        text = f"{case.title}: {len(results) - failed} of {len(results)} as expected"
        yield _Line(not failed, text, [_line(result, _cell(result)) for result in shown])


def _cell(result: Result) -> str:
    case = result.case
    return " ".join(part for part in (case.agent, case.action, case.resource, case.label) if part)


def _line(result: Result, title: str) -> _Line:
    if result.ok:
        return _Line(True, f"{title}: {result.decision} ({result.code})")
    why = [_Line(None, text) for text in (*result.failures, result.reason)]
    return _Line(False, title, why)


def _print(line: _Line, depth: int) -> None:
    mark = {True: "ok", False: "FAILED", None: ""}[line.ok]
    click.echo(f"{mark:<6}  {'  ' * depth}{one_line(line.text)}")
    for below in line.below:
        _print(below, depth + 1)


def _draw(line: _Line) -> None:
    from rich.console import Console
    from rich.tree import Tree

    root = Tree(_styled(line))
    _grow(root, line)
    Console(highlight=False, markup=False, emoji=False).print(root)


def _grow(tree: Tree, line: _Line) -> None:
    for below in line.below:
        _grow(tree.add(_styled(below)), below)


def _styled(line: _Line) -> Any:
    from rich.text import Text

    mark, style = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("", "")}[line.ok]
    return Text(mark + one_line(line.text), style=style)


def as_junit(ran: Sequence[Ran]) -> bytes:
    """The report as CI servers read it: a test suite for each file, a test case for each request."""
    root = ElementTree.Element("testsuites", name="actctl policy test")
    for suite in ran:
        attributes = {
            "name": _xml(suite.file),
            "tests": str(len(suite.results)),
            "failures": str(suite.failed),
            "errors": "0",
            "skipped": "0",
        }
        element = ElementTree.SubElement(root, "testsuite", attributes)
        for result in suite.results:
            name = f"{result.case.title}: {_cell(result)}" if result.case.cell else result.case.title
            one = ElementTree.SubElement(element, "testcase", classname=_xml(suite.file), name=_xml(name))
            if not result.ok:
                message = _xml("; ".join(result.failures))
                ElementTree.SubElement(one, "failure", message=message).text = _xml(result.reason)
    report: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return report


def _xml(text: str) -> str:
    # XML has no way at all to write most control characters.
    return escaped(text)
