"""Every single check of the verifier taken out, one at a time, against the tests that should notice.

A check is an `if` that ends in a refusal, a part of its `or`, or a part of the `and` that a predicate answers. The
copy of `act` without it is what the tests import, and what the servers run that they start. A check that no test
misses is a survivor, listed in `survivors.md` beside this file under a heading of its own; what somebody wrote there
about one (after the colon) is kept as long as it survives. Nothing in the checkout is changed but that file.

    python -m tests.deep.verifier_checks [--minutes M] [verify] [claims] [codec] [compact] [chain] [bearers] [proof]
        [possession]
"""

from __future__ import annotations

import argparse
import ast
import copy
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.deep.mutants import CHECKS, ROOT, Mutant, Report, imports_the_copy, run

LIMIT = 400.0
"""Seconds for the tests of one check that is taken out."""

TOKENS = [f"tests/attacks/test_tokens{part}.py" for part in ("", "_since")]
DELEGATION = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/attacks").glob("test_delegation*.py"))
DEPUTY = ["tests/attacks/test_requester.py", "tests/attacks/test_deputy.py"]


def _of_tokens(*names: str) -> list[str]:
    return [f"tests/tokens/test_{name}.py" for name in names]


# For each module its tests in stages: the next one is run only for what the one before has not noticed.
MODULES = {
    "verify": (
        "act/tokens/verify.py",
        [_of_tokens("verifier"), [*TOKENS, "tests/attacks/test_signing_keys.py"], DELEGATION],
    ),
    "claims": ("act/tokens/claims.py", [_of_tokens("claims"), TOKENS]),
    "codec": ("act/tokens/codec.py", [_of_tokens("codec", "signing_keys"), TOKENS]),
    "compact": ("act/tokens/compact.py", [_of_tokens("codec", "proof"), TOKENS]),
    "chain": ("act/tokens/chain.py", [_of_tokens("chain"), DELEGATION]),
    "bearers": ("act/enforcement/bearers.py", [[*DEPUTY, *TOKENS[1:]], DELEGATION]),
    "proof": ("act/tokens/proof.py", [_of_tokens("proof", "proof_keys", "proof_sdk"), TOKENS[1:]]),
    "possession": ("act/tokens/possession.py", [TOKENS[1:], DELEGATION]),
}


def checks(path: str, source: str) -> Iterator[Mutant]:
    """The module without each of its checks, in the order of their lines."""
    tree = ast.parse(source)
    for at, node in enumerate(ast.walk(tree)):
        for part, new in _without(node):
            changed = copy.deepcopy(tree)
            target = next(found for number, found in enumerate(ast.walk(changed)) if number == at)
            whole = _Put(target, new).visit(changed)
            before = ast.unparse(node).splitlines()[0]
            what = "removed" if part is None else f"without `{ast.unparse(part)}`"
            yield Mutant(path, getattr(node, "lineno", 0), f"`{before}` → {what}", ast.unparse(whole))


def _without(node: ast.AST) -> Iterator[tuple[ast.AST | None, ast.AST]]:
    """What can be left out of a node, and the node without it; None is the node as a whole."""
    match node:
        case ast.If(orelse=[]) if _refuses(node):
            yield None, ast.Pass()
            if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or):
                for part, rest in _fewer(node.test):
                    yield part, ast.If(rest, node.body, [])
        case ast.Return(value=ast.BoolOp() as value):
            for part, rest in _fewer(value):
                yield part, ast.Return(rest)
        case ast.Return(value=ast.IfExp(test=test, body=body, orelse=other)):
            yield test, ast.Return(body)
            yield ast.UnaryOp(ast.Not(), test), ast.Return(other)


def _refuses(node: ast.If) -> bool:
    """Whether the branch ends the function, or finds a refusal."""
    match node.body[-1]:
        case ast.Return() | ast.Raise():
            return True
        case ast.Assign(targets=[ast.Name(id="refusal")]):
            return True
    return isinstance(node.body[-1], ast.If) and _refuses(node.body[-1])


def _fewer(test: ast.BoolOp) -> Iterator[tuple[ast.expr, ast.expr]]:
    for left_out in test.values:
        rest = [value for value in test.values if value is not left_out]
        yield left_out, rest[0] if len(rest) == 1 else ast.BoolOp(test.op, rest)


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return ast.fix_missing_locations(ast.copy_location(copy.deepcopy(self._new), node))
        return self.generic_visit(node)


class Stages:
    """The tests of a module. What fails with every check in its place is left out; that is looked at when needed."""

    def __init__(self, stages: Sequence[Sequence[str]], folder: Path) -> None:
        self._stages = stages
        self._folder = folder
        self._left_out: dict[int, list[str]] = {}

    def notice(self, source: Path, changed: str) -> bool:
        """Whether any test fails on the changed source."""
        original = source.read_text()
        for at, stage in enumerate(self._stages):
            left_out = self._broken(at)
            try:
                source.write_text(changed)
                ran = run(self._folder, list(stage), "-x", *left_out, limit=LIMIT)
            finally:
                source.write_text(original)
            if not ran.passed:
                return True
        return False

    def _broken(self, at: int) -> list[str]:
        if at not in self._left_out:
            whole = run(self._folder, list(self._stages[at]), limit=LIMIT)
            broken = re.findall(r"^FAILED (.+?)(?: - .*)?$", whole.said, re.MULTILINE)
            if not whole.passed and not broken:
                raise SystemExit(f"The tests do not run with every check in its place either:\n{whole.said}")
            print(f"stage {at}: {whole.seconds:.0f} s, {len(broken)} fail and are left out", flush=True)
            self._left_out[at] = [f"--deselect={test}" for test in broken]
        return self._left_out[at]


def survivors(name: str, folder: Path, deadline: float) -> tuple[list[Mutant], list[Mutant], list[Mutant]]:
    """Those of a module that were tried, that nothing missed, and that were not tried in time."""
    path, stages = MODULES[name]
    tests = Stages(stages, folder)
    tried, alive, left = list[Mutant](), list[Mutant](), list[Mutant]()
    for check in checks(path, (folder / path).read_text()):
        if time.monotonic() > deadline:
            left.append(check)
            continue
        started = time.monotonic()
        noticed = tests.notice(folder / path, check.source)
        tried.append(check)
        if not noticed:
            alive.append(check)
        word = "noticed " if noticed else "SURVIVED"
        print(f"{time.monotonic() - started:4.0f} s {word} {path}:{check.line} {check.change}", flush=True)
    return tried, alive, left


def write(path: str, tried: list[Mutant], alive: list[Mutant], left: list[Mutant]) -> None:
    """In the place of what the report has about a module; reasons that were written there stay."""
    found = Report.read()
    rows = dict(re.findall(r"^\| (act/\S+) (\|.*\|)$", found.checks, re.MULTILINE))
    lines = re.findall(r"^- ([\w/.]+):(\d+) (.+(?:removed|`)): (.+)$", found.checks, re.MULTILINE)
    reasons = {(where, change): reason for where, _, change, reason in lines}
    kept = [(where, int(line), change, reason) for where, line, change, reason in lines if where != path]
    untried = [check for check in left if (path, check.change) in reasons]
    rows[path] = f"| {len(tried) + len(left)} | {len(tried)} | {len(alive) + len(untried)} |"
    kept += [
        (path, check.line, check.change, reasons.get((path, check.change), "not explained yet"))
        for check in (*alive, *untried)
    ]
    text = [
        CHECKS,
        "",
        "Written by `python -m tests.deep.verifier_checks`; the reasons are written by hand and kept.",
        "",
    ]
    text += ["| module | checks | tried | survived |", "|---|---|---|---|"]
    text += [f"| {where} {row}" for where, row in rows.items()]
    text += ["", *(f"- {where}:{line} {change}: {reason}" for where, line, change, reason in kept)]
    found._replace(checks="\n".join(text).rstrip() + "\n").write()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(MODULES)} (default: all)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after about so long (default: 60)")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.modules if name not in MODULES]:
        parser.error(f"there is no module {unknown[0]}; choose of {', '.join(MODULES)}")
    deadline = time.monotonic() + chosen.minutes * 60
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "src")
        shutil.copytree(ROOT / "src", folder)
        if not imports_the_copy(folder):
            raise SystemExit("The tests would not import the copy; is another act before it on the path?")
        for name in chosen.modules or MODULES:
            tried, alive, left = survivors(name, folder, deadline)
            write(MODULES[name][0], tried, alive, left)
            print(f"{name}: {len(tried)} checks tried, {len(left)} not, {len(alive)} missed by nothing", flush=True)


if __name__ == "__main__":
    main()
