"""Simple mutants of the decision core, one at a time, against the tests that should notice.

Mutants of `decide` and `match` are first held against the reference over a fixed set of worlds, in a forked process,
because that takes a moment. A mutant that no test notices is a survivor. They are listed in `survivors.md` beside
this file; what somebody wrote there about one (after the colon) is kept as long as it survives. Nothing in the
checkout is changed but that file.

    python -m tests.deep.mutants [--minutes M] [decide] [match] [globs] [verify]
"""

from __future__ import annotations

import argparse
import ast
import copy
import multiprocessing
import os
import re
import shutil
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

from act.policies.index import PolicyIndex

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).with_name("survivors.md")
WORKERS = 2
WORLDS = 2_000
TIME_LIMIT = 240.0
"""Seconds after which a run of tests counts as noticing: a mutant that hangs is seen."""

MODULES = {
    "decide": ("act/enforcement/decide.py", ["tests/properties/test_near.py", "tests/enforcement/test_decide.py"]),
    "match": ("act/policies/match.py", ["tests/properties/test_near.py", "tests/properties/test_reference.py"]),
    "globs": ("act/policies/globs.py", ["tests/policies/test_globs.py", "tests/policies/test_globs_algebra.py"]),
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


def run(folder: Path, tests: list[str], *options: str) -> tuple[bool, str]:
    """Whether the tests pass on the copy of `act` in `folder`, and what they say."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.deep.mutants"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder.parent / "examples"),
    }
    try:
        done = subprocess.run(
            [*command, *options, *tests], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return False, "time is up"
    return done.returncode == 0, done.stdout


def worlds() -> list[World]:
    """Always the same worlds, each with what the reference says; built once, for all mutants."""
    from hypothesis import Phase, given, settings

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
    from act.enforcement import decide
    from act.policies.match import Call
    from tests.properties.worlds import NOW, agent_of, told

    module = types.ModuleType("mutant")
    sys.modules["mutant"] = module  # dataclasses look their module up
    try:
        exec(compile(mutant.source, mutant.path, "exec"), module.__dict__)
        if mutant.path.endswith("match.py"):
            decide.match = module.match  # type: ignore[attr-defined]
        engine = module.decide if mutant.path.endswith("decide.py") else decide.decide
        for index, asked, expected in made:
            call = Call(asked.action, asked.resource, NOW, asked.arguments, asked.context)
            requester = agent_of(asked.requester) if asked.requester else None
            if told(engine(index, agent_of(asked.agent), call, requester)) != expected:
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


def known_reasons() -> dict[tuple[str, str], str]:
    """What is written in the report already: module and change, to the reason."""
    if not REPORT.exists():
        return {}
    found = re.findall(r"^- ([\w/.]+):\d+ (`.*?` → `.*?`): (.+)$", REPORT.read_text(), re.MULTILINE)
    return {(path, change): reason for path, change, reason in found}


def report(survivors: list[Mutant], counts: dict[str, tuple[int, int, int]]) -> None:
    reasons = known_reasons()
    lines = ["# Mutants of the decision core that no test notices", ""]
    lines += ["Written by `python -m tests.deep.mutants`; the reasons are written by hand and kept.", ""]
    lines += ["| module | mutants | tried | survived |", "|---|---|---|---|"]
    lines += [f"| {path} | {made} | {tried} | {survived} |" for path, (made, tried, survived) in counts.items()]
    lines += [""]
    for mutant in survivors:
        reason = reasons.get((mutant.path, mutant.change), "not explained yet")
        lines.append(f"- {mutant.path}:{mutant.line} {mutant.change}: {reason}")
    REPORT.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", default=list(MODULES), choices=[*MODULES, []])
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after about so long (default: 120)")
    chosen = parser.parse_args()
    deadline = time.monotonic() + chosen.minutes * 60
    survivors: list[Mutant] = []
    counts: dict[str, tuple[int, int, int]] = {}
    corpus: list[World] = []
    with tempfile.TemporaryDirectory() as temporary:
        folders: Queue[Path] = Queue()
        for number in range(WORKERS):
            shutil.copytree(ROOT / "src", Path(temporary, str(number)))
            folders.put(Path(temporary, str(number)))

        for name in chosen.modules:
            path, tests = MODULES[name]
            tests = [test for test in tests if (ROOT / test).exists()]
            original = (ROOT / "src" / path).read_text()
            folder = folders.get()
            _, said = run(folder, tests)
            folders.put(folder)
            broken = [f"--deselect={test}" for test in re.findall(r"^FAILED (.+?)(?: - .*)?$", said, re.MULTILINE)]
            print(f"{path}: {len(broken)} tests fail without any mutant and are left out", flush=True)

            def survives(
                mutant: Mutant, tests: list[str] = tests, broken: list[str] = broken, original: str = original
            ) -> bool | None:
                if time.monotonic() > deadline:
                    return None
                folder = folders.get()
                try:
                    (folder / mutant.path).write_text(mutant.source)
                    alive, _ = run(folder, tests, "-x", *broken)
                finally:
                    (folder / mutant.path).write_text(original)
                    folders.put(folder)
                print(f"{'SURVIVED' if alive else 'noticed'} {mutant.path}:{mutant.line} {mutant.change}", flush=True)
                return alive

            made = list(mutants(path, original))
            left = made
            if name in ("decide", "match"):
                corpus = corpus or worlds()
                left = [mutant for mutant in made if not noticed_at_once(mutant, corpus)]
                print(f"{path}: {len(made) - len(left)} of {len(made)} noticed by the reference", flush=True)
            with ThreadPoolExecutor(WORKERS) as pool:
                answers = list(pool.map(survives, left))
            alive = [mutant for mutant, answer in zip(left, answers, strict=True) if answer]
            survivors += alive
            counts[path] = (len(made), len(made) - answers.count(None), len(alive))
            report(survivors, counts)


if __name__ == "__main__":
    main()
