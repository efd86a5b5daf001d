"""Secrets of others, sent where no argument is: they get into no span and no line, and into no reason."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from act.audit.redaction import excerpt
from act.audit.values import MARK
from tests.attacks.test_own_keys import Place
from tests.support import ADMIN_KEY

CLOUD = "AKIA" + "IOSFODNN7EXAMPLE"
CODE = "ghp_" + "a1B2" * 9
RESOURCE = f"api://a?password=hunter2&apikey={CLOUD}"
PIECES = ("hunter2", CLOUD[4:], CODE[4:], "abcdefghijklmnop")


def test_they_stand_in_no_span_no_line_and_no_reason(tmp_path: Path) -> None:
    place = Place(tmp_path, ADMIN_KEY, bootstrap_api_key=ADMIN_KEY)
    try:
        agent = place.api.agent()
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        place.api.policy(["run"], appliesTo={"agentIds": [agent]}, arguments=schema)
        token = place.api.token(agent)
        request: dict[str, Any] = {"capabilityToken": token, "action": "run", "resourceId": RESOURCE, "requestId": "r"}
        place.api.post("/v1/enforce", request, status=200, headers={"X-Request-ID": CODE})
        named = request | {"requestId": "s", "resourceId": "api://a", "arguments": {"a": "x", CLOUD: "y"}}
        answer = place.api.post("/v1/enforce", named, status=200)
        assert answer["reasonCode"] == "no_matching_policy"
        assert f"/{MARK} is not among the arguments" in answer["reason"]
        place.api.client.get(f"/password=hunter2/Bearer%20abcdefghijklmnop/{CODE}")
        places = place.seen()
        assert [piece for piece in PIECES if piece in places["lines"] + places["spans"]] == []
        assert f"api://a?password={MARK}&apikey={MARK}" in places["spans"]
        assert f"/password={MARK}" in places["lines"]
        records = [json.loads(line) for line in places["records"].splitlines()]
        records = [line.get("record", line) for line in records]
        [reason] = [record["reason"] for record in records if record.get("requestId") == "s"]
        assert reason == answer["reason"]
        # What was decided on stands in the record as it was asked; docs/audit.md says so.
        assert RESOURCE in [record.get("resourceId") for record in records]
    finally:
        place.close()


@pytest.mark.parametrize("size", [0, 200, 250, 255, 4_000, 300_000])
def test_no_half_of_one_stands_at_the_end_of_an_excerpt(size: int) -> None:
    found = excerpt("x" * size + " " + RESOURCE, 256)
    assert len(found) <= 256
    assert not any(piece[:3] in found for piece in PIECES)


def test_no_text_is_looked_at_to_its_end() -> None:
    begin = time.process_time()
    excerpt("password=" * 1_000_000, 256)
    assert time.process_time() - begin < 1.0
