"""Answers are kept for two minutes, a hundred thousand of them; each takes little more than its bytes."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from pathlib import Path

import pytest

from act.json_bytes import encode
from tests.in_process import InProcess

ASKED = 200
ROUNDS = 5


def test_an_encoded_text_takes_what_it_is_long() -> None:
    value = {"reason": "x" * 700}
    tracemalloc.start()
    try:
        kept = [encode(value) for _ in range(ASKED)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / ASKED < len(kept[0]) + 100


def test_a_kept_answer_takes_little_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "httpx2")  # what a test logs is kept too
    node = InProcess(tmp_path)
    agent = node.api.agent("a")
    node.api.policy(["read"], ["api://x/*"])
    token = node.api.token(agent)
    size = 0

    def ask() -> None:
        nonlocal size
        for _ in range(ASKED):
            answer = node.api.enforce(token, "read", "api://x/1")
            assert answer["decision"] == "allowed"
            size = len(str(answer))

    ask()  # what is made once is there now
    taken = list[float]()
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            ask()
            gc.collect()
            taken.append((tracemalloc.get_traced_memory()[0] - before) / ASKED)
    finally:
        tracemalloc.stop()
        node.close()
    each = min(taken)  # the node's own threads, and tables that double, are in some rounds
    assert size < each < size + 1_500
