"""Bytes and text that somebody made to break the loader: from seeds by small changes, and with Atheris by coverage."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.deep.loading import ROOT, TARGETS, TooSlow, seeds, timed, words

DEEP = os.environ.get("ACT_DEEP") == "1"
SECONDS = int(os.environ.get("ACT_FUZZ_SECONDS", "120"))

SEEDS = {name: seeds(name) for name in TARGETS}
WORDS = {name: [line[1:-1].encode() for line in words(name).splitlines()] for name in TARGETS}

pytestmark = pytest.mark.timeout(SECONDS + 600)


@pytest.mark.parametrize(("name", "least"), [("policy", 60), ("condition", 20)])
def test_the_seeds_lead_into_the_engine(name: str, least: int) -> None:
    """A search that began with what is refused at once would find nothing."""
    accepted = [timed(TARGETS[name], seed) for seed in SEEDS[name]]
    assert accepted.count(True) >= least
    assert all(line.startswith('"') and line.endswith('"') for line in words(name).splitlines())


def test_what_is_slow_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.deep.loading.SECONDS", 0.0)
    with pytest.raises(TooSlow):
        timed(TARGETS["policy"], SEEDS["policy"][0])


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """A seed with bytes taken out and others put in, at a few places."""
    data = draw(st.sampled_from(SEEDS[name]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data = (
            data[:at]
            + draw(st.sampled_from(WORDS[name]) | st.binary(max_size=4))
            + data[at + draw(st.integers(0, 8)) :]
        )
    return data


@settings(max_examples=5_000 if DEEP else 200)
@given(changed("policy"))
def test_a_policy_with_small_changes_is_loaded_or_refused(data: bytes) -> None:
    timed(TARGETS["policy"], data)


@settings(max_examples=5_000 if DEEP else 200)
@given(changed("condition"))
def test_a_condition_with_small_changes_is_loaded_or_refused(data: bytes) -> None:
    timed(TARGETS["condition"], data)


@pytest.mark.skipif(not DEEP, reason="Atheris takes minutes; it runs with `make test-deep`")
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="Atheris is not installed: there are wheels for Linux on x86-64 and Python 3.11 to 3.13 only",
)
@pytest.mark.parametrize("name", list(TARGETS))
def test_atheris_finds_nothing(name: str, tmp_path: Path) -> None:
    """For `ACT_FUZZ_SECONDS` (120) each; no exception, no hang, no more memory than the limit."""
    command = [sys.executable, "-m", "tests.deep.fuzz", name, f"--seconds={SECONDS}", f"--folder={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=SECONDS + 300)
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("#"))
    print(said[-2000:])
    assert done.returncode == 0, f"Found after which the input is in {tmp_path}:\n{said[-8000:]}"
    assert "Done " in said, "it ran to the end of its time"
