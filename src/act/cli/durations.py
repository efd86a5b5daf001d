"""How long, as people write it."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHORT: Final = re.compile(r"([0-9]{1,12})([smhdw]?)", re.ASCII)
# ISO 8601 without months and years, of which nobody knows how long they are.
_ISO: Final = re.compile(
    r"P(?=.)(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?",
    re.ASCII,
)


def seconds(text: str) -> int | None:
    """Whole seconds of `90d`, `12h`, `P90D`, `3600`; None when it is none of these."""
    if found := _SHORT.fullmatch(text):
        return int(found[1]) * _UNITS[found[2] or "s"]
    if iso := _ISO.fullmatch(text):
        return sum(int(number or 0) * _UNITS[unit] for number, unit in zip(iso.groups(), "wdhms", strict=True))
    return None


class Duration(click.ParamType[int | str]):
    """A duration in seconds; `words` are taken as they are."""

    name = "duration"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value)
        if text in self._words:
            return text
        if (found := seconds(text)) is None:
            words = "".join(f", or {word}" for word in self._words)
            self.fail(f"{text!r}: write for example 90d, 12h, P90D or a number of seconds{words}.", param, ctx)
        return found
