"""`actctl serve` with a part taken out, to see what the part costs: `python -m benchmarks.variants NAME serve ...`.

`unrecorded`: decisions leave no record and wait for no commit. `constant`: no decisions at all; ACT's server, with
ACT's options, reads the body and answers always the same. Both are for measuring, and part of no product.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from act import cli
from act.audit.transaction import Sealed
from act.audit.units import Told
from act.audit.writer import Writer
from act.server import app, serve

# As long as a decision about one of the policies that the benchmark makes.
ANSWER = b'{"decision":"allowed","filling":"%s"}' % (b"x" * 600)


class _Nowhere:
    """Takes what a decision would have written."""

    def record(self, *_: Any, **__: Any) -> Sealed:
        return Sealed(0, "0" * 64)

    def at_end(self, *_: Any) -> None:
        pass


class Unrecorded(Writer):
    """Keeps what management writes, and nothing of what decisions do."""

    def submit(self, work: Callable[[Any], Any], told: Told, **_: Any) -> None:  # type: ignore[override]
        told.set_result(work(_Nowhere()))


class Constant(app.Node):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.app = _constant  # type: ignore[assignment]


async def _constant(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def main() -> None:
    if sys.argv.pop(1) == "constant":
        serve.Node = Constant  # type: ignore[misc]
    else:
        app.Writer = Unrecorded  # type: ignore[misc]
    cli.main()


if __name__ == "__main__":
    main()
