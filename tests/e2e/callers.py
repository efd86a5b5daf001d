"""Callers in a process of their own: each asks one thing after the other and notes what it was told.

    python -m tests.e2e.callers URL API_KEY TOKEN NOTES CALLERS

Ends when every caller has lost its connection. Plain streams and HTTP/1.1, so that nothing is retried behind our back.
Lines of the notes are JSON: `{"asked": body, "told": answer}`, without `told` for what was asked and not answered,
`{"strange": text}` for an answer that is none.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from uuid import uuid4

ACTIONS = ("run", "fly", "ask", "count")


class Caller:
    """One connection, kept open."""

    def __init__(self, url: str, api_key: str, notes: IO[str]) -> None:
        at = urlsplit(url)
        self._host, self._port, self._notes = at.hostname or "", at.port or 0, notes
        self._api_key = api_key
        self._name = uuid4().hex

    async def work(self, token: str, number: int) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            for turn in itertools.count():
                body = {
                    "requestId": f"{self._name}-{turn}",
                    "capabilityToken": token,
                    "action": ACTIONS[(number + turn) % len(ACTIONS)],
                    "resourceId": f"x{number}",
                    "arguments": {"turn": turn},
                }
                try:
                    status, answer = await self._exchange(reader, writer, body)
                except (OSError, asyncio.IncompleteReadError):
                    self._note(asked=body)
                    return
                if status != 200:
                    self._note(strange=f"{status} {answer!r}")
                    return
                self._note(asked=body, told=json.loads(answer))
        finally:
            writer.close()

    def _note(self, **what: Any) -> None:
        self._notes.write(json.dumps(what) + "\n")
        self._notes.flush()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any]
    ) -> tuple[int, bytes]:
        content = json.dumps(body).encode()
        head = (
            f"POST /v1/enforce HTTP/1.1\r\nhost: {self._host}\r\nx-api-key: {self._api_key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        return int(lines[0].split()[1]), await reader.readexactly(length)


async def main(url: str, api_key: str, token: str, notes: str, callers: str) -> None:
    with Path(notes).open("a") as out:  # noqa: ASYNC230 - before there is anything to wait for
        await asyncio.gather(*(Caller(url, api_key, out).work(token, number) for number in range(int(callers))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
