"""What looks like a secret of others, whatever it stands beside: keys of known services, and private keys. Pure.

Each expression begins with a literal and gives no character back: the time grows with the length of the text alone.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_SHORTEST: Final = 12
"""A name with fewer characters, `/amount`, has no secret in it."""

# Every alternative begins with a literal: so the search skips to places where one of these letters stands.
LOOK: Final = r"""
      A(?<![A-Za-z0-9]A)(?:KIA|SIA|GPA|IDA|ROA|NPA|IPA|BIA|CCA)[A-Z0-9]{16,}+  # AWS
    | AIza[\w-]{30,}+                                          # Google
    | ya29\.[\w-]{20,}+
    | gh[pousr]_[A-Za-z0-9]{20,}+                              # GitHub
    | github_pat_\w{20,}+
    | glpat-[\w-]{16,}+                                        # GitLab
    | xox[a-z]-[\w-]{10,}+                                     # Slack
    | xapp-[\w-]{10,}+
    | hooks\.slack\.com/[\w/]{10,}+
    | s(?<!\ws)k_(?:live|test)_[A-Za-z0-9]{10,}+               # Stripe
    | r(?<!\wr)k_(?:live|test)_[A-Za-z0-9]{10,}+
    | whsec_[\w+/=-]{16,}+
    | s(?<!\ws)k-[\w-]{20,}+                                   # OpenAI, Anthropic
    | hf_[A-Za-z0-9]{30,}+
    | npm_[A-Za-z0-9]{30,}+
    | pypi-[\w-]{40,}+
    | SG\.[\w-]{16,}+\.[\w-]{16,}+                             # SendGrid
    | B[Ee][Aa][Rr][Ee][Rr](?:\s|%20){1,4}+[\w.~+/=-]{6,}+    # RFC 6750
    | b[Ee][Aa][Rr][Ee][Rr](?:\s|%20){1,4}+[\w.~+/=-]{6,}+
    | -----BEGIN[A-Z0-9 ]{0,40}?PRIVATE\ KEY(?:\ BLOCK)?-----(?s:.*?)(?:-----END[^-]{0,60}-----|\Z)
    """


@cache
def looks() -> re.Pattern[str]:
    """The expression; made at its first use, because a client needs it never."""
    return re.compile(LOOK, re.VERBOSE)


def without_looks(name: str) -> str:
    """A name, or a pointer of names, in which nothing looks like a secret."""
    return name if len(name) < _SHORTEST else looks().sub("[redacted]", name)
