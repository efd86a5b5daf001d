"""Answers are kept for two minutes, a hundred thousand of them; each takes little more than its bytes."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from act.json_bytes import encode
from tests.in_process import InProcess

ASKED = 200


def test_an_encoded_text_takes_what_it_is_long() -> None:
    value = {"reason": "x" * 700}
    tracemalloc.start()
    try:
        kept = [encode(value) for _ in range(ASKED)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / ASKED < len(kept[0]) + 100


def test_a_kept_answer_takes_little_memory(tmp_path: Path) -> None:
    node = InProcess(tmp_path)
    try:
        agent = node.api.agent("a")
        node.api.policy(["read"], ["api://x/*"])
        token = node.api.token(agent)

        def ask(times: int) -> int:
            size = 0
            for _ in range(times):
                answer = node.api.enforce(token, "read", "api://x/1")
                assert answer["decision"] == "allowed"
                size = len(str(answer))
            return size

        ask(50)  # what is made once is there now
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            size = ask(ASKED)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    finally:
        node.close()
    each = (after - before) / ASKED
    assert size < each < size + 2_000
