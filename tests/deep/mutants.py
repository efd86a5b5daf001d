"""Simple mutants of the decision core, one at a time, against the tests that should notice.

Mutants of what decides are first held against the reference over a fixed set of worlds, in a forked process,
because that takes a moment. A mutant that no test notices is a survivor. They are listed in `survivors.md` beside
this file; what somebody wrote there about one (after the colon) is kept as long as it survives, and so is what is
there about modules and mutants that were not tried this time. Nothing in the checkout is changed but that file.

    python -m tests.deep.mutants [--minutes M] [--workers N] [--survivors] [decide] [match] [globs] [canonical]
        [verify]
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).with_name("survivors.md")
CHECKS = "# Checks of the verifier that no test misses"
WORLDS = 2_000
TIME_LIMIT = 240.0
"""Seconds for the tests without any mutant, and for one mutant against the worlds."""

DECIDING = ["tests/enforcement/test_constrain.py", "tests/properties/test_near.py", "tests/enforcement/test_decide.py"]
DECIDING += ["tests/conformance"]
DECIDING += ["-k", "not http and not embedded"]

MODULES = {
    "decide": ("act/enforcement/decide.py", DECIDING),
    "matching": ("act/enforcement/matching.py", DECIDING),
    "hand_down": ("act/enforcement/hand_down.py", DECIDING),
    "constrain": ("act/enforcement/constrain.py", DECIDING),
    "match": ("act/policies/match.py", ["tests/properties/test_near.py", "tests/properties/test_reference.py"]),
    "globs": ("act/policies/globs.py", ["tests/policies/test_globs.py", "tests/policies/test_globs_algebra.py"]),
    "canonical": (
        "act/policies/canonical.py",
        [f"tests/policies/test_{part}.py" for part in ("canonical", "resources", "globs_algebra")],
    ),
    "verify": ("act/tokens/verify.py", ["tests/attacks/test_tokens.py"]),
}

_OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


class Mutant(NamedTuple):
    path: str
    line: int
    change: str
    source: str


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    ours = [node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in function.body]
    # Of what stands outside functions only the limits: numbers on the right of an assignment.
    ours += [statement.value for statement in tree.body if isinstance(statement, ast.Assign)]
    inside = {id(node) for statement in ours for node in ast.walk(statement)}
    for at, node in enumerate(ast.walk(tree)):
        if id(node) not in inside:
            continue
        for way in range(2):
            changed = copy.deepcopy(tree)
            target = next(found for number, found in enumerate(ast.walk(changed)) if number == at)
            new = _mutated(target, way)
            if new is None:
                continue
            before = ast.unparse(target).splitlines()[0]
            after = "removed" if isinstance(new, ast.Pass) else ast.unparse(new).splitlines()[0]
            whole = _Put(target, new).visit(changed)
            yield Mutant(path, getattr(node, "lineno", 0), f"`{before}` → `{after}`", ast.unparse(whole))


def _mutated(node: ast.AST, way: int) -> ast.AST | None:
    """A changed copy of a node, or None; `way` 0 changes an operator or a value, 1 takes something away."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[operator]) if way == 0 and type(operator) in _OPPOSITE:
            new.ops = [_OPPOSITE[type(operator)]()]  # type: ignore[list-item]
        case ast.BoolOp(op=operator) if way == 0:
            new.op = _OPPOSITE[type(operator)]()  # type: ignore[assignment]
        case ast.BoolOp(values=values) if way == 1:
            return values[0]
        case ast.BinOp(op=operator) if way == 0 and type(operator) in _OPPOSITE:
            new.op = _OPPOSITE[type(operator)]()  # type: ignore[assignment]
        case ast.UnaryOp(op=ast.Not(), operand=operand) if way == 0:
            return operand
        case ast.Constant(value=bool(value)) if way == 0:
            new.value = not value
        case ast.Constant(value=int(value)) if way == 0:
            new.value = value + 1
        case ast.If(test=ast.Name() | ast.NamedExpr() | ast.Call() | ast.Attribute()) if way == 0:
            new.test = ast.UnaryOp(ast.Not(), new.test)
        case ast.If() | ast.Continue() | ast.AugAssign() | ast.Raise() if way == 1:
            return ast.Pass()
        case ast.Expr(value=ast.Call()) if way == 1:
            return ast.Pass()
        case ast.IfExp(body=body) if way == 0:
            return body
        case ast.IfExp(orelse=other) if way == 1:
            return other
        case _:
            return None
    return new


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return ast.fix_missing_locations(ast.copy_location(self._new, node))
        return self.generic_visit(node)


class World(NamedTuple):
    """A tenant's policies, a question, and the answer of the reference."""

    index: Any
    asked: Any
    expected: Any


def pytest_collection() -> None:
    """As a plugin of the runs: what fails need not be made small."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("hasty", settings.get_profile("act"), phases=phases, report_multiple_bugs=False)
    settings.load_profile("hasty")


class Ran(NamedTuple):
    """What a run of tests came to; `said` is its output."""

    passed: bool
    said: str
    seconds: float


def environment(folder: Path) -> dict[str, str]:
    """For processes that import the copy of `act` in `folder`, and so do the servers that they start."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder.parent / "examples"),
    }


def run(folder: Path, tests: list[str], *options: str, limit: float = TIME_LIMIT) -> Ran:
    """The tests on the copy of `act` in `folder`. Past the limit they have not passed: a mutant that hangs is seen."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.deep.mutants"]
    started = time.monotonic()
    # A session of its own, so that the servers of the tests can be ended with it.
    with subprocess.Popen(
        [*command, *options, *tests],
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            said = "time is up"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Ran(process.returncode == 0 and said != "time is up", said, time.monotonic() - started)


def imports_the_copy(folder: Path) -> bool:
    """Whether Python and the installed command, as tests start them, both stumble over a fault in the copy."""
    start = folder / "act" / "__init__.py"
    original = start.read_text()
    start.write_text("raise SystemExit(87)")
    try:
        commands = ([sys.executable, "-c", "import act"], [str(Path(sys.executable).with_name("actctl")), "--version"])
        ended = [subprocess.run(command, env=environment(folder), cwd=ROOT).returncode for command in commands]
    finally:
        start.write_text(original)
    return ended == [87, 87]


def worlds() -> list[World]:
    """Always the same worlds, each with what the reference says; built once, for all mutants."""
    from hypothesis import Phase, given, settings

    from act.policies.index import PolicyIndex
    from tests.properties.test_reference import expected
    from tests.properties.worlds import Documents, Question, compiled, questions, tenants

    found: list[World] = []

    @settings(max_examples=WORLDS, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(tenants, questions)
    def collect(tenant: Documents, asked: Question) -> None:
        index = PolicyIndex(compiled(policy) for policy in tenant if policy["enabled"])
        found.append(World(index, asked, expected(tenant, asked)))

    collect()
    return found


def differs(mutant: Mutant, made: list[World]) -> bool:
    """Whether the mutant, put in the place of its module, says something that the reference does not say."""
    from act.enforcement import decide, hand_down, matching
    from tests.properties.worlds import handed_over, told

    module = types.ModuleType("mutant")
    sys.modules["mutant"] = module  # dataclasses look their module up
    try:
        exec(compile(mutant.source, mutant.path, "exec"), module.__dict__)
        for name, function in vars(module).items():
            if isinstance(function, types.FunctionType) and function.__module__ == "mutant":
                for user in (decide, hand_down, matching):
                    if name in vars(user):
                        setattr(user, name, function)
        engine = module.decide if mutant.path.endswith("decide.py") else decide.decide
        for index, asked, expected in made:
            if told(engine(index, *handed_over(asked))) != expected:
                return True
    except Exception:
        return True
    return False


def noticed_at_once(mutant: Mutant, made: list[World]) -> bool:
    def child() -> None:
        os._exit(1 if differs(mutant, made) else 0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(TIME_LIMIT)
    if process.exitcode is None:
        process.kill()
    return process.exitcode != 0


class Report(NamedTuple):
    """`survivors.md`: lines of the table by path, and for each path its survivors, (line, change) and the reason.

    `checks` is the part of the file that `tests.deep.verifier_checks` writes.
    """

    rows: dict[str, str]
    survivors: dict[str, list[tuple[int, str, str]]]
    checks: str = ""

    @classmethod
    def read(cls) -> Report:
        written, mark, below = (REPORT.read_text() if REPORT.exists() else "").partition(CHECKS)
        rows = {found[2]: found[1] for found in re.finditer(r"^(\| (act/\S+) \|.*\|)$", written, re.MULTILINE)}
        survivors: dict[str, list[tuple[int, str, str]]] = {}
        for path, line, change, reason in re.findall(
            r"^- ([\w/.]+):(\d+) (`.*?` → `.*?`): (.+)$", written, re.MULTILINE
        ):
            survivors.setdefault(path, []).append((int(line), change, reason))
        return cls(rows, survivors, mark + below)

    def put(self, path: str, made: list[Mutant], alive: list[Mutant], untried: list[Mutant]) -> None:
        """In the place of what was there about a module. A mutant that was not tried stays if it was there."""
        reasons = {change: reason for _, change, reason in self.survivors.get(path, [])}
        kept = alive + [mutant for mutant in untried if mutant.change in reasons]
        self.rows[path] = f"| {path} | {len(made)} | {len(made) - len(untried)} | {len(kept)} |"
        self.survivors[path] = sorted(
            (mutant.line, mutant.change, reasons.get(mutant.change, "not explained yet")) for mutant in kept
        )

    def write(self) -> None:
        lines = ["# Mutants of the decision core that no test notices", ""]
        lines += ["Written by `python -m tests.deep.mutants`; the reasons are written by hand and kept.", ""]
        lines += ["| module | mutants | tried | survived |", "|---|---|---|---|", *self.rows.values(), ""]
        for path, survivors in self.survivors.items():
            lines += [f"- {path}:{line} {change}: {reason}" for line, change, reason in survivors]
        REPORT.write_text("\n".join(lines) + "\n" + (f"\n{self.checks}" if self.checks else ""))


def try_module(name: str, folders: Queue[Path], workers: int, deadline: float, again: bool) -> None:
    """All mutants of a module (or those that are in the report `again`), and what came of them into the report."""
    path, tests = MODULES[name]
    folder = folders.get()
    original = (folder / path).read_text()
    whole = run(folder, tests)
    folders.put(folder)
    broken = [f"--deselect={test}" for test in re.findall(r"^FAILED (.+?)(?: - .*)?$", whole.said, re.MULTILINE)]
    if not whole.passed and not broken:
        raise SystemExit(f"The tests do not run without any mutant either:\n{whole.said}")
    limit = 20 + 5 * whole.seconds
    print(
        f"{path}: tests take {whole.seconds:.0f} s, {limit:.0f} at most; {len(broken)} fail and are left out",
        flush=True,
    )

    made = list(mutants(path, original))
    left = made
    if again:
        known = {change for _, change, _ in Report.read().survivors.get(path, [])}
        left = [mutant for mutant in made if mutant.change in known]
    elif name in ("decide", "matching", "hand_down", "constrain", "match"):
        corpus = worlds()
        left = [mutant for mutant in made if not noticed_at_once(mutant, corpus)]
        print(f"{path}: {len(made) - len(left)} of {len(made)} noticed by the reference", flush=True)

    def survives(numbered: tuple[int, Mutant]) -> bool | None:
        number, mutant = numbered
        if time.monotonic() > deadline:
            return None
        folder = folders.get()
        try:
            (folder / path).write_text(mutant.source)
            ran = run(folder, tests, "-x", *broken, limit=limit)
        finally:
            (folder / path).write_text(original)
            folders.put(folder)
        word = "SURVIVED" if ran.passed else "noticed "
        print(f"{number}/{len(left)} {ran.seconds:4.0f} s {word} {path}:{mutant.line} {mutant.change}", flush=True)
        return ran.passed

    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(survives, enumerate(left, 1)))
    alive = [mutant for mutant, answer in zip(left, answers, strict=True) if answer]
    untried = [mutant for mutant, answer in zip(left, answers, strict=True) if answer is None]
    if again:
        untried += [mutant for mutant in made if mutant not in left]
    found = Report.read()
    found.put(path, made, alive, untried)
    found.write()
    print(f"{path}: {len(made)} mutants, {len(untried)} not tried, {len(alive)} survived", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)} (default: all)")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after about so long (default: 120)")
    parser.add_argument("--workers", type=int, default=1, help="so many mutants at a time (default: 1)")
    parser.add_argument("--survivors", action="store_true", help="try only those that are in the report, again")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.modules if name not in MODULES]:
        parser.error(f"there is no module {unknown[0]}; choose of {', '.join(MODULES)}")
    deadline = time.monotonic() + chosen.minutes * 60
    with tempfile.TemporaryDirectory() as temporary:
        folders: Queue[Path] = Queue()
        for number in range(chosen.workers):
            folder = Path(temporary, str(number))
            shutil.copytree(ROOT / "src", folder)
            if not imports_the_copy(folder):
                raise SystemExit("The tests would not import the mutants; is another act before them on the path?")
            folders.put(folder)
        for name in chosen.modules or MODULES:
            try_module(name, folders, chosen.workers, deadline, chosen.survivors)


if __name__ == "__main__":
    main()
