"""The `when` of a policy: CEL over the request, checked when it is written, bounded when it is evaluated.

What conditions can name and do is in `docs/conditions.md`; why ACT evaluates them as it does is in ADR 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from act.policies.cel import native
from act.policies.cel.lowering import Scope, lower
from act.policies.cel.texts import placed, report_of, text_fault
from act.policies.cel.tree import Call, ListOf, Loop, MapOf, Name, Node, Select, Unsupported, read_tree
from act.policies.cel.values import Budget, Evaluator, Exhausted, Fault, describe

_ROOTS = frozenset(name.partition(".")[0] for name in native.VARIABLES)


@dataclass(frozen=True, slots=True)
class ConditionFault:
    """Why a text is no condition: a sentence that says where, and what to do."""

    message: str


@dataclass(frozen=True, slots=True)
class ConditionError:
    """Why a condition has no answer for a request, without a full stop. It quotes no values, only names and kinds.

    The rule for callers: the condition of an allow policy counts as false, that of a deny policy as true.
    """

    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that compiles. Immutable; any thread may evaluate it; equal when the texts are."""

    text: str
    variables: frozenset[str] = field(compare=False)
    """The top-level variables that it uses: a part of agent, token, action, resource, args, context, session, now."""
    _run: Evaluator = field(compare=False, repr=False)

    def evaluate(self, variables: Mapping[str, Any]) -> bool | ConditionError:
        """Whether the condition holds; at most a few milliseconds, and never an exception.

        Args:
            variables: by name, at least those in `self.variables`; plain JSON values (dict, list, str, int, float,
                bool, None), and an aware datetime for `now`.
        """
        try:
            result = self._run(variables, Budget())
        except Fault as fault:
            return ConditionError(fault.message)
        except Exhausted:
            return ConditionError("The condition would take too long on values of this size")
        except Exception as error:  # noqa: BLE001  whatever a value that is not JSON does, the decision goes on
            return ConditionError(f"The condition cannot be evaluated ({type(error).__name__})")
        if result is True or result is False:
            return result
        return ConditionError(f"The condition yields {describe(result)}, and not true or false")


def compile_condition(text: str) -> Condition | ConditionFault:
    """Check a condition and make it ready. Whatever the text, it ends soon and raises nothing."""
    if fault := text_fault(text):
        return ConditionFault(fault)
    try:
        serialized, yields = native.check(text)
        if yields not in ("BOOL", "DYN"):
            return ConditionFault(f"The condition yields {yields.lower()}; it has to yield true or false.")
        tree = read_tree(serialized)
        return Condition(text, frozenset(_variables(tree)), lower(tree, Scope(native.VARIABLES)))
    except Unsupported as unsupported:
        return ConditionFault(placed(text, unsupported.at) + unsupported.message)
    except RuntimeError as error:  # the binding's report
        return ConditionFault(report_of(str(error), text, native.VARIABLES))
    except Exception as error:  # noqa: BLE001  no text of a policy may stop the server
        return ConditionFault(f"The condition cannot be read ({type(error).__name__}); write it in another way.")


def _variables(node: Node) -> Iterator[str]:
    match node:
        case Name(name=name):
            root = name.partition(".")[0]
            if root in _ROOTS:  # a macro's variable cannot have the name of one
                yield root
        case Select(operand=operand):
            yield from _variables(operand)
        case Call(operands=parts) | ListOf(items=parts):
            for part in parts:
                yield from _variables(part)
        case MapOf(entries=entries):
            for entry in entries:
                for part in entry:
                    yield from _variables(part)
        case Loop():
            for each in (node.source, node.test, node.item):
                if each:
                    yield from _variables(each)
