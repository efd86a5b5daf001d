"""The audit log as an outsider gets it: the export, judged with nothing but a verifier key kept from before."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from act.cli.verify import Result, verified
from tests.support import Api

BY_ITSELF = frozenset({"approval.expired", "audit.archived", "key.retired", "lease.timed_out", "webhook.disabled"})
"""The kinds of records that the server writes when a time is over, whoever asks for something meanwhile."""


@dataclass(frozen=True)
class Kept:
    """A checkpoint that somebody put aside, and the key to verify with."""

    note: str
    key: str
    size: int


def keep(api: Api) -> Kept:
    answer = api.get("/v1/audit/checkpoint")
    return Kept(answer["note"], answer["verifierKey"], answer["size"])


def export(api: Api) -> bytes:
    answer = api.client.get("/v1/audit/export")
    assert answer.status_code == 200
    return answer.content


def judge(api: Api, *kept: Kept) -> Result:
    """Export and verify, as `actctl audit verify` does."""
    notes = {f"kept-{number}": one.note for number, one in enumerate(kept)}
    return verified(io.BytesIO(export(api)), notes, kept[0].key if kept else None)


def size(api: Api) -> int:
    return int(api.get("/v1/audit/checkpoint")["size"])


def caused(api: Api, since: int) -> list[dict[str, Any]]:
    """The records from an index on, 200 at most, without those that nobody has caused.

    On a server that tests share there may be some at any time: a place is held for five minutes.
    """
    found = api.get("/v1/audit", params={"begin": since, "order": "asc", "limit": 200})["items"]
    return [item["record"] for item in found if item["record"]["kind"] not in BY_ITSELF]


def records(api: Api) -> list[dict[str, Any]]:
    """All records, in order."""
    *lines, last = export(api).decode().splitlines()
    assert json.loads(last).keys() == {"checkpoint"}
    return [json.loads(line)["record"] for line in lines]
