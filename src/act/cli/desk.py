"""What an approver sees and chooses on the screen of `actctl approvals watch`; it knows no terminal and no server.

Whoever approves must have seen what would run: an approval can be given only once its text was read to the end, and
not in the moment in which another one has taken the place of the one that was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.text import Text

from act.cli.approvals import fields_of
from act.cli.output import json_text
from act.cli.text import escaped, one_line

if TYPE_CHECKING:
    from act.models import Approval

SETTLING: Final = 0.7
"""Seconds for which what has come up by itself must be on the screen before a key can be meant for it."""
_WOULD_RUN: Final = ("action", "resource")
_BESIDES: Final = ("agent", "asked by", "because of", "needs", "approved by", "expires", "id")
_KEYS: Final = "up/down choose   space/b read on and back   a approve   r reject   q quit"


@dataclass(slots=True)
class Desk:
    """`chosen` is the id of the approval that is shown; `reason` the text that is being typed to reject it.

    `interrupted` says that it was decided elsewhere while somebody typed: what they go on typing is no command.
    Times are seconds of a clock that only measures.
    """

    pending: list[Approval] = field(default_factory=list)
    chosen: str | None = None
    message: str = ""
    reason: str | None = None
    interrupted: bool = False
    _top: int = 0
    _read: set[str] = field(default_factory=set)
    _came: float = 0.0

    @property
    def shown(self) -> Approval | None:
        return next((approval for approval in self.pending if approval.id == self.chosen), None)

    def update(self, pending: Sequence[Approval], now: float) -> bool:
        """Take over what is pending now; True when another approval is shown than before."""
        place = self._place
        self.pending = list(pending)
        if self.shown is not None:
            return False
        before, self.chosen = self.chosen, None
        if self.pending:
            self.chosen = self.pending[min(place, len(self.pending) - 1)].id
        if self.reason is not None:
            self.interrupted = True
            self.message = "What you were about to reject is not pending any more. Press enter."
        self._show(now)
        return before != self.chosen

    def move(self, steps: int) -> None:
        if self.pending:
            self.chosen = self.pending[max(0, min(self._place + steps, len(self.pending) - 1))].id
            self._show(float("-inf"))
            self.message = ""

    def scroll(self, pages: int, height: int) -> None:
        self._top = max(0, self._top + pages * max(1, height // 2))

    def refusal(self, now: float) -> str | None:
        """Why nothing can be decided now, if so."""
        if self.chosen is None:
            return "Nothing is pending."
        if now - self._came < SETTLING:
            return "This one has just come up. Look at it, then press again."
        return None

    def unread(self) -> str | None:
        """Why the approval that is shown cannot be given yet, if so."""
        return None if self.chosen in self._read else "There is more to read: press space until the end, then approve."

    @property
    def _place(self) -> int:
        return next((at for at, approval in enumerate(self.pending) if approval.id == self.chosen), 0)

    def _show(self, now: float) -> None:
        self._top, self._came, self.reason = 0, now, None

    def draw(self, width: int, height: int, now: datetime) -> list[Text]:
        """The screen, line by line; nothing of what would run is ever cut."""
        rows = max(1, min(len(self.pending), height // 3))
        first = max(0, min(self._place - rows // 2, len(self.pending) - rows))
        lines = [Text(_fit(f"{len(self.pending)} pending", width), style="bold")]
        for approval in self.pending[first : first + rows]:
            row = _fit(_row(approval, approval.id == self.chosen, now), width)
            lines.append(Text(row, style="reverse" if approval.id == self.chosen else ""))
        lines.append(Text("-" * width, style="dim"))
        room = max(1, height - len(lines) - 2)
        lines += self._details(width, room)
        foot = f"Reason: {self.reason}_" if self.reason is not None else self.message
        keys = "enter reject   escape back" if self.reason is not None else _KEYS
        return [*lines, Text(_fit(one_line(foot), width), style="yellow"), Text(_fit(keys, width), style="dim")]

    def _details(self, width: int, room: int) -> list[Text]:
        approval = self.shown
        if approval is None:
            return [Text("Nobody waits for an approval.") if at == 0 else Text("") for at in range(room)]
        lines = folded(details(approval), width)
        if len(lines) > room:
            room -= 1
        self._top = max(0, min(self._top, len(lines) - room))
        shown = [Text(line) for line in lines[self._top : self._top + room]]
        left = len(lines) - self._top - room
        if left <= 0:
            self._read.add(approval.id)
        if len(lines) > room:
            shown.append(Text(_fit(f"-- {left} more lines --" if left > 0 else "-- end --", width), style="bold"))
        return shown + [Text("")] * (room - len(shown))


def details(approval: Approval) -> list[str]:
    """What would run, and then whatever else a person may want to know."""
    fields = fields_of(approval)
    lines = [f"{heading}: {fields[heading]}" for heading in _WOULD_RUN]
    for heading, value in (("arguments", approval.arguments), ("context", approval.context)):
        if value:
            lines += [f"{heading}:", *escaped(json_text(value)).splitlines()]
        else:
            lines.append(f"{heading}: none")
    return lines + [f"{heading}: {fields[heading]}" for heading in _BESIDES if fields[heading] != "-"]


def folded(lines: Sequence[str], width: int) -> list[str]:
    """Lines that fit; what goes on from the line before is marked, so that no text can pass for a line of its own."""
    fitting = []
    for line in lines:
        parts = chop_cells(line, max(2, width - 2)) or [""]
        fitting += [f"  {parts[0]}", *(f"> {part}" for part in parts[1:])]
    return fitting


def _row(approval: Approval, chosen: bool, now: datetime) -> str:
    left = max(0, int((approval.expires_at - now).total_seconds()))
    said = f"{left // 60:>4}:{left % 60:02}  {approval.agent_name}  {approval.action}  {approval.resource_id}"
    return f"{'>' if chosen else ' '} {one_line(said)}"


def _fit(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 3)) + "..."
