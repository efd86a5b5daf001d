"""Following what is pending: on a terminal a screen to decide at, elsewhere a line for each new approval."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from act.cli.command import wants_json
from act.cli.connection import sentence
from act.cli.output import cell, json_text, say
from act.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from act.cli.desk import Desk
    from act.cli.keyboard import Keyboard
    from act.client.act import Act
    from act.models import Approval

MOST: Final = 500
"""Pending approvals that are shown at once, the oldest first."""


def watch(act: Act, interval: float) -> None:
    """Show what is pending until `q` or an interruption; looks again each `interval` seconds.

    Raises:
        ActError: at the first look, or when the server refuses.
    """
    if wants_json() or not (sys.stdin.isatty() and sys.stdout.isatty()):
        follow(act, interval)
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    try:
        import termios  # noqa: F401 - whether there is one
    except ImportError:
        follow(act, interval)
        return
    if console.is_dumb_terminal:
        follow(act, interval)
    else:
        _Sitting(act, interval, console).run()


def follow(act: Act, interval: float) -> None:
    """Print each approval once, when it has become pending."""
    known: set[str] = set()
    away = False
    first = True
    while True:
        found = _look(act, must=first)
        if isinstance(found, str):
            if not away:
                say(f"{found} Trying again.")
        else:
            for approval in found:
                if approval.id not in known:
                    _print(approval)
            known = {approval.id for approval in found}
        away, first = isinstance(found, str), False
        time.sleep(interval)


def _print(approval: Approval) -> None:
    if wants_json():
        line = json_text(approval, indent=None)
    else:
        said = [approval.id, approval.agent_name, approval.action, approval.resource_id, approval.expires_at]
        line = f"{'  '.join(cell(part) for part in said)}  {json_text(approval.arguments, indent=None)}"
    click.echo(line)
    sys.stdout.flush()


def _look(act: Act, *, must: bool = False) -> list[Approval] | str:
    """What is pending, or why a server that was there once does not say."""
    from act.client.errors import ServerError, Unreachable

    try:
        return list(islice(act.approvals.list("pending"), MOST))
    except (Unreachable, ServerError) as error:
        if must:
            raise
        return str(error)


class _Sitting:
    """One person at the screen."""

    def __init__(self, act: Act, interval: float, console: Console) -> None:
        from act.cli.desk import Desk

        self._act = act
        self._interval = interval
        self._console = console
        self._desk: Desk = Desk()
        self._next = 0.0
        self._trouble = ""

    def run(self) -> None:
        from rich.live import Live

        from act.cli.keyboard import Keyboard

        found = _look(self._act, must=True)
        if not isinstance(found, str):
            self._desk.update(found, time.monotonic())
        self._next = time.monotonic() + self._interval
        with Keyboard() as keyboard, Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                self._draw(live)
                keys = keyboard.read(self._next - time.monotonic())
                if keys is None or ("q" in keys and self._desk.reason is None and not self._desk.interrupted):
                    return
                for key in keys:
                    self._press(key, alone=len(keys) == 1, keyboard=keyboard)
                if time.monotonic() >= self._next:
                    self._refresh(keyboard)

    def _draw(self, live: Live) -> None:
        from rich.console import Group

        width, height = self._console.size
        live.update(Group(*self._desk.draw(width, height, datetime.now(UTC))), refresh=True)

    def _refresh(self, keyboard: Keyboard) -> None:
        found = _look(self._act)
        self._next = time.monotonic() + self._interval
        if isinstance(found, str):
            self._desk.message = self._trouble = f"{found} Trying again."
            return
        if self._desk.message == self._trouble:
            self._desk.message = ""
        self._trouble = ""
        if self._desk.update(found, time.monotonic()):
            keyboard.drop()

    def _press(self, key: str, *, alone: bool, keyboard: Keyboard) -> None:
        desk = self._desk
        if desk.interrupted:
            desk.interrupted = key not in ("enter", "escape")
        elif desk.reason is not None:
            self._type(key, keyboard)
        elif key in ("up", "k"):
            desk.move(-1)
        elif key in ("down", "j"):
            desk.move(1)
        elif key in (" ", "page down"):
            desk.scroll(1, self._console.size.height)
        elif key in ("b", "page up"):
            desk.scroll(-1, self._console.size.height)
        elif key in ("a", "r") and alone:  # what was pasted, or typed ahead, is meant for something else
            self._decide(key, keyboard)

    def _decide(self, key: str, keyboard: Keyboard) -> None:
        desk = self._desk
        refused = desk.refusal(time.monotonic()) or (desk.unread() if key == "a" else None)
        if refused:
            desk.message = refused
        elif key == "r":
            desk.reason, desk.message = "", ""
        elif (id := desk.chosen) is not None:
            self._call(lambda: self._act.approvals.approve(id), keyboard)

    def _type(self, key: str, keyboard: Keyboard) -> None:
        desk = self._desk
        reason, id = desk.reason or "", desk.chosen
        if key == "escape":
            desk.reason = None
        elif key == "backspace":
            desk.reason = reason[:-1]
        elif key == "enter" and reason.strip() and id is not None:
            desk.reason = None
            self._call(lambda: self._act.approvals.reject(id, reason.strip()), keyboard)
        elif len(key) == 1:
            desk.reason = (reason + key)[:500]

    def _call(self, call: Callable[[], Approval], keyboard: Keyboard) -> None:
        from act.cli.approvals import still_needs
        from act.client.errors import ActError

        try:
            changed = call()
        except ActError as error:
            said = sentence(error)
        else:
            said = f"{changed.id} is {changed.status}. {still_needs(changed)}"
        self._refresh(keyboard)
        self._desk.message = one_line(said)
        keyboard.drop()
