"""What a guarded function tells the session of its agent: labels of what it reads, and the resources that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from act.client.errors import faults_in
from act.models import OutcomeReport

Created = Callable[[Any], Iterable[str]]
"""From the result of a function to the resources that it has made, at most 256."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Labels are None when the function has none of its own: then those count that the tenant has as its default."""

    labels: tuple[str, ...] | None = None
    created: Created | None = None

    @classmethod
    def of(cls, labels: Iterable[str] | None, created: Created | None) -> Self:
        """Checked as the server will check them.

        Raises:
            TypeError: `labels` is one text, or `created` cannot be called.
            ValueError: a label is none, or there are too many.
        """
        if isinstance(labels, str):
            raise TypeError("labels is a list of texts, not one text.")
        if created is not None and not callable(created):
            raise TypeError("created is a function from the result to a list of resources.")
        if labels is None:
            return cls(None, created)
        listed = list(labels)
        try:
            OutcomeReport(status="succeeded", labels=listed)
        except ValidationError as error:
            raise ValueError(f"These are no labels: {faults_in(error)}.") from None
        return cls(tuple(listed), created)

    def made(self, result: Any) -> tuple[str, ...]:
        """The resources that a result tells of."""
        if self.created is None:
            return ()
        made = self.created(result)
        if isinstance(made, str):
            raise TypeError("created has to answer a list of resources, not one text.")
        return tuple(made)
