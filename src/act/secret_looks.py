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
    | SK(?<!\wSK)[0-9a-f]{32}(?!\w)                            # Twilio
    | A(?<=[0-9]:A)A[\w-]{30,}+                                # Telegram
    | webhooks/[0-9]{15,20}+/[\w-]{20,}+                       # Discord
    | shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{20,}+                     # Shopify
    | hvs\.[\w-]{20,}+                                         # Vault
    | glsa_\w{20,}+                                            # Grafana
    | ntn_[A-Za-z0-9]{30,}+                                    # Notion
    | p(?<=dckr_p)at_[\w-]{20,}+                               # Docker
    | p(?<=dop)_v1_[a-f0-9]{40,}+                              # DigitalOcean
    | AGE-SECRET-KEY-1[A-Z0-9]{20,}+
    # RFC 6750; a person writes of bearer tokens, too
    | B[Ee][Aa][Rr][Ee][Rr](?:\s|%20){1,4}+
      (?!(?:[Tt]okens?|[Aa]uth(?:entication|orization)?|[Ss]chemes?|[Hh]eaders?)(?![\w~+/=-]|\.\w))[\w.~+/=-]{6,}+
    | b[Ee][Aa][Rr][Ee][Rr](?:\s|%20){1,4}+
      (?!(?:[Tt]okens?|[Aa]uth(?:entication|orization)?|[Ss]chemes?|[Hh]eaders?)(?![\w~+/=-]|\.\w))[\w.~+/=-]{6,}+
    | -----BEGIN[A-Z0-9 ]{0,40}?PRIVATE\ KEY(?:\ BLOCK)?-----(?s:.*?)(?:-----END[^-]{0,60}-----|\Z)
    """


@cache
def looks() -> re.Pattern[str]:
    """The expression; made at its first use, because a client needs it never."""
    return re.compile(LOOK, re.VERBOSE)


def without_looks(name: str) -> str:
    """A name, or a pointer of names, in which nothing looks like a secret."""
    return name if len(name) < _SHORTEST else looks().sub("[redacted]", name)
