"""JSON as bytes that take no more memory than they are long."""

from __future__ import annotations

from typing import Any

import orjson


def encode(value: Any, option: int | None = None) -> bytes:
    """The JSON of a value; `option` are those of orjson.

    The encoder hands out its whole buffer, 8 KB for a text of 700 bytes. What is kept for minutes or waits for a commit
    is copied, so that the buffer is used again at once.

    Raises:
        TypeError: the value has no JSON.
    """
    return bytes(memoryview(orjson.dumps(value, option=option)))
