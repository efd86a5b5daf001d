"""The audit log as an outsider gets it: the export, judged with nothing but a verifier key kept from before."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from act.cli.verify import Result, verified
from tests.support import Api


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


def records(api: Api) -> list[dict[str, Any]]:
    """All records, in order."""
    *lines, last = export(api).decode().splitlines()
    assert json.loads(last).keys() == {"checkpoint"}
    return [json.loads(line)["record"] for line in lines]
