"""biscuit-python: an authority block with the right, and a block with a check for each agent it was handed down to.

Policy, action and resource are parsed once, which is more than a request would allow.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from biscuit_auth import AuthorizerBuilder, Biscuit, BiscuitBuilder, BlockBuilder, KeyPair
from measure import Ask, peer

RIGHT = 'right("read", "api://service-1/");'
CHECK = 'check if resource($resource), $resource.starts_with("api://service-1/");'
POLICY = """
action("read"); resource("api://service-1/item");
allow if right($action, $prefix), action($action), resource($resource), $resource.starts_with($prefix);
"""


def prepare(given: dict[str, Any]) -> dict[str, Ask]:
    root = KeyPair()

    def asking(depth: int) -> tuple[Ask, Ask]:
        token = BiscuitBuilder(RIGHT).build(root.private_key)
        for _ in range(depth):
            token = token.append(BlockBuilder(CHECK))
        string, parsed = token.to_base64(), token
        prepared = AuthorizerBuilder(POLICY)
        limits = prepared.limits()
        limits.max_time = timedelta(seconds=1)  # by default a millisecond, which a busy machine takes now and then
        prepared.set_limits(limits)

        def authorize(it: Any) -> bool:
            return bool(prepared.build(it).authorize() == 0)  # the first policy; a no is raised

        return lambda _: authorize(Biscuit.from_base64(string, root.public_key)), lambda _: authorize(parsed)

    made = [asking(depth) for depth in range(given["depths"])]
    first = {f"Biscuit: parse and authorize, depth {depth}": asks[0] for depth, asks in enumerate(made)}
    return first | {f"Biscuit: authorize alone, depth {depth}": asks[1] for depth, asks in enumerate(made)}


if __name__ == "__main__":
    peer(prepare)
