"""The log as JSON lines, of an export and of an archive alike: what comes before it, its records, and its checkpoint.

A file that does not begin with record 0 says in its first line what the log was before: the roots of its complete
subtrees, from which the root that the checkpoint signs is computed again. The last line is the checkpoint; a file
without it is cut off. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from act import models
from act.audit.arguments import shown_salt
from act.audit.merkle import Frontier


def begin_line(before: Frontier) -> bytes:
    """`{"begin": {"index": ..., "roots": [hex, ...]}}`, of the records that are not in the file."""
    begin = {"index": before.size, "roots": [root.hex() for root in before.roots]}
    return json.dumps({"begin": begin}, separators=(",", ":")).encode()


def record_line(row: Any) -> bytes:
    """A row of `audit_records`. The record is spliced in as it is stored: what is exported is what was hashed.

    What is kept of the arguments follows, with the salt of the hash that proves it, unless it was erased.
    """
    line = f'{{"index":{row.idx},"leafHash":"{row.leaf_hash.hex()}","record":{row.record}'
    if row.arguments is not None:
        line += f',"arguments":{row.arguments},"salt":"{shown_salt(row.salt or b"", row.kept_hash).hex()}"'
    return f"{line}}}".encode()


def end_line(checkpoint: models.Checkpoint) -> bytes:
    return f'{{"checkpoint":{checkpoint.model_dump_json()}}}'.encode()
