"""What a token is narrowed to and made for, from what callers write to what goes over the wire. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.alias_generators import to_camel

Scope = Iterable[Mapping[str, Iterable[str]]]
"""Parts, each of `actions` and `resources`: any of the actions on any of the resources."""


def scope_of(
    scope: Scope | None, actions: Iterable[str] | None, resources: Iterable[str] | None
) -> list[dict[str, list[str]]] | None:
    """The scope as it is sent; None for a token that is not narrowed.

    Raises:
        TypeError: one text stands where a list of texts belongs.
        ValueError: a scope of several parts and of one part at once, or half of one part.
    """
    if actions is None and resources is None:
        if scope is None:
            return None
        return [{name: listed(name, texts) for name, texts in part.items()} for part in scope]
    if scope is not None:
        raise ValueError("Give actions and resources, or a scope of several such parts; not both.")
    if actions is None or resources is None:
        raise ValueError("Give actions and resources together: a scope is actions on resources.")
    return [{"actions": listed("actions", actions), "resources": listed("resources", resources)}]


def task_of(task: str | None, facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The task as it is sent.

    Raises:
        ValueError: facts of no task.
    """
    if task is None:
        if facts is not None:
            raise ValueError("facts belong to a task; name it with task='...'.")
        return None
    return {"id": task} | ({} if facts is None else {"facts": dict(facts)})


def agents_of(hand_to: Mapping[str, Iterable[str]] | None) -> dict[str, list[str]] | None:
    """To whom something may be handed on: `roles` and `agent_ids` as they are sent."""
    return None if hand_to is None else {to_camel(name): listed(name, texts) for name, texts in hand_to.items()}


def listed(name: str, texts: Iterable[str]) -> list[str]:
    """The texts as a list.

    Raises:
        TypeError: they are one text, whose letters would be taken for texts.
    """
    if isinstance(texts, str):
        raise TypeError(f"{name} is a list of texts, not one text.")
    return list(texts)
