"""What was read and made so far under one task, as a frozen value (2-semantics, "Matching": `session`).

A session only grows. A label that was reported once stays, whatever is reported after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_LABELS = 100
MAX_CREATED = 10_000
MAX_CREATED_TEXT = 2**20
"""Characters of all resources of one session together: it is read and written whole."""


@dataclass(frozen=True)
class Session:
    """`labels` of what was read, `created` resources in the order in which they were first reported."""

    labels: frozenset[str] = frozenset()
    created: tuple[str, ...] = ()

    def has(self, labels: Iterable[str], created: Sequence[str], defaults: Iterable[str] = ()) -> bool:
        """Whether nothing of this is new."""
        return (
            self.labels.issuperset(labels)
            and self.labels.issuperset(defaults)
            and (not created or self._made.issuperset(created))
        )

    @cached_property
    def _made(self) -> frozenset[str]:
        return frozenset(self.created)

    @cached_property
    def seen(self) -> Mapping[str, list[str]]:
        """The variable `session` of conditions. Made once, shared by all decisions, changed by nobody."""
        return {"labels": sorted(self.labels), "created": list(self.created)}


EMPTY = Session()


class SessionFull(Exception):
    """There is no room for what was reported; the session is as it was."""


def session_key(task_id: str | None, root_node: str) -> str:
    """The session that a request belongs to: its token's task, or else the root of the token's delegations."""
    return f"node:{root_node}" if task_id is None else f"task:{task_id}"


def merged(session: Session, labels: Iterable[str], created: Iterable[str], defaults: Iterable[str] = ()) -> Session:
    """The session with what was reported; `session` itself when nothing of it is new.

    Args:
        defaults: labels that nobody reported. There is always room for them: what tells nothing cannot be sent back.

    Raises:
        SessionFull: it would have more than `MAX_LABELS` labels, `MAX_CREATED` resources, or `MAX_CREATED_TEXT`.
    """
    told = session.labels.union(labels)
    all_labels = told.union(defaults)
    all_created = tuple(dict.fromkeys((*session.created, *created)))
    if len(all_labels) == len(session.labels) and len(all_created) == len(session.created):
        return session
    if len(told) > max(MAX_LABELS, len(session.labels)):
        raise SessionFull(f"A session has at most {MAX_LABELS} labels.")
    if len(all_created) > MAX_CREATED:
        raise SessionFull(f"A session has at most {MAX_CREATED} created resources.")
    if sum(map(len, all_created)) > MAX_CREATED_TEXT:
        raise SessionFull(f"The created resources of a session have at most {MAX_CREATED_TEXT} characters together.")
    return Session(all_labels, all_created)
