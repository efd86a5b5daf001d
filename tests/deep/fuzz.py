"""Atheris on one of the targets of `loading`, for so many seconds; 0 when it found nothing.

It wants the dependency group `deep`. What it finds it writes to the folder, as a file `crash-…`, and prints the
traceback; `--input FILE` runs such a file again.

    python -m tests.deep.fuzz policy|condition [--seconds N] [--folder FOLDER] [--input FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["act"], enable_loader_override=False):
    from tests.deep import loading

MEGABYTES = 1024
"""Of memory for the whole process, and for one allocation."""
STUCK = 30
"""Seconds by the clock after which an input is taken to hang; how slow one may be says `loading.SECONDS`."""
LONGEST = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=loading.TARGETS)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--folder", type=Path, help="for the inputs that are worth keeping, and what is found")
    parser.add_argument("--input", type=Path, help="run this one and end")
    chosen = parser.parse_args()
    target = loading.TARGETS[chosen.target]
    if chosen.input:
        print("accepted" if loading.timed(target, chosen.input.read_bytes()) else "refused")
        return
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus, dictionary = folder / "corpus", folder / "words"
    corpus.mkdir(parents=True, exist_ok=True)
    dictionary.write_text(loading.words(chosen.target))
    for number, seed in enumerate(loading.seeds(chosen.target)):
        target(seed)  # what is imported or built at the first use is no property of an input
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        loading.timed(target, data)

    options = {
        "dict": dictionary,
        "artifact_prefix": f"{folder}/",
        "max_total_time": chosen.seconds,
        "max_len": LONGEST,
        "timeout": STUCK,
        "rss_limit_mb": MEGABYTES,
        "malloc_limit_mb": MEGABYTES,
        "print_final_stats": 1,
    }
    atheris.Setup([sys.argv[0], str(corpus), *(f"-{name}={value}" for name, value in options.items())], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
