"""What looks like a token or a key is found in every text, and no text is made that takes long to look through."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.text import has_secret, without_secrets

# What is meant, written plainly; it takes quadratic time.
PLAIN = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+|eyJ[\w-]{16,}\.[\w-]{16,}|act_[0-9A-Za-z]+_[\w-]{20,}|whsec_[\w+/-]{24,}=*"
)

PIECES = [
    "eyJ",
    "act_",
    "whsec_",
    "/+=",
    "abc",
    "_",
    ".",
    "-",
    " ",
    "x" * 16,
    "y" * 20,
    '"',
    "ü",
    "\n",
    "0",
    "live_",
    "[secret]",
]

HOSTILE = {
    "headers": "eyJ" * 85_000,
    "short parts": "eyJ." * 64_000,
    "two parts": "eyJa." * 50_000,
    "one part too few": ("eyJ" + "a" * 15 + ".") * 13_000,
    "a part, then headers": "eyJ" + "x" * 100 + "." + "eyJ" * 80_000,
    "dashes": "-eyJ" * 64_000,
    "a late header": "a" * 250_000 + "eyJ",
    "keys": "act_" * 64_000,
    "names of keys": "act_a" * 50_000,
    "keys of webhooks": "whsec_" * 42_000,
    "one long key": "act_" + "a" * 250_000,
}


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_what_looks_like_a_secret_is_found(text: str) -> None:
    assert has_secret(text) == (PLAIN.search(text) is not None)
    assert not PLAIN.search(without_secrets(text))
    if not has_secret(text):
        assert without_secrets(text) == text


def test_only_the_secret_is_taken() -> None:
    token = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    key = "act_admin_" + "0123456789" * 4
    assert without_secrets(f"whsec_{'a+/b' * 8}=. x") == "[secret]. x"
    assert without_secrets(f'{{"a":"x{token}","b":"{key}!"}}') == '{"a":"x[secret]","b":"[secret]!"}'


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_time_grows_with_the_length_alone(text: str) -> None:
    began = time.process_time()
    without_secrets(text)
    has_secret(text)
    assert time.process_time() - began < 1.0  # where each header is looked at to the end: minutes
