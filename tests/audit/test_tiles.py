"""Tiles: their names, and a whole log checked from them alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.audit.merkle import frontier_of, leaf_hash
from act.audit.notes import verify
from act.audit.proofs import consistent, root_from_inclusion
from act.audit.tiles import ENTRIES, Tile, bundle, parse
from tests.in_process import InProcess
from tests.support import Api


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "0/000"),
        (Tile(0, 273), "0/273"),
        (Tile(1, 1234), "1/x001/234"),
        (Tile(0, 1234067, 8), "0/x001/x234/067.p/8"),
        (Tile(ENTRIES, 999), "entries/999"),
        (Tile(ENTRIES, 1000, 1), "entries/x001/000.p/1"),
    ],
)
def test_names(tile: Tile, path: str) -> None:
    assert tile.path() == path
    assert parse(path) == tile


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/0", "0/00", "00/000", "6/000", "-1/000", "0/x000/001", "0/x1/234", "0/1234", "0/x001/23",
     "0/000.p/0", "0/000.p/256",
     "0/000.p/257", "0/000.p/01", "0/000.p/", "0/000/", "/0/000", "0/000.P/1", "entries/../000",
     "0/٠٠٠", "0/" + "x999/" * 30 + "999"],
)  # fmt: skip
def test_what_is_no_name_of_a_tile(path: str) -> None:
    assert parse(path) is None


@given(st.integers(-1, 5), st.integers(0, 2**40), st.integers(1, 256))
def test_every_name_is_read_back(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert parse(tile.path()) == tile


def test_bundles_say_how_long_each_entry_is() -> None:
    assert bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    with pytest.raises(ValueError, match="65,535"):
        bundle([b"x" * 65536])


# --- a log ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    node = InProcess(tmp_path_factory.mktemp("tiles"))
    token = node.api.token(node.api.agent())
    for _ in range(600):
        node.api.enforce(token, "a", "x")
    yield node.api
    node.close()


def tile(api: Api, path: str, status: int = 200) -> bytes:
    response = api.send("GET", f"/v1/audit/tile/{path}")
    assert response.status_code == status, response.text
    return response.content


def entries(content: bytes) -> list[bytes]:
    found = []
    while content:
        length = int.from_bytes(content[:2], "big")
        found.append(content[2 : 2 + length])
        content = content[2 + length :]
    return found


def test_the_log_is_checked_from_its_tiles_alone(api: Api) -> None:
    head = api.get("/v1/audit/checkpoint")
    note = api.send("GET", "/v1/audit/checkpoint", headers={"Accept": "text/plain"}).text
    signed = verify(note, head["verifierKey"])
    assert signed.size == head["size"] > 512
    whole, rest = divmod(signed.size, 256)
    names = [*(f"{at:03d}" for at in range(whole)), *([f"{whole:03d}.p/{rest}"] if rest else [])]
    leaves = [leaf_hash(entry) for name in names for entry in entries(tile(api, f"entries/{name}"))]
    assert b"".join(leaves) == b"".join(tile(api, f"0/{name}") for name in names)
    assert frontier_of(leaves).root() == signed.root
    above = tile(api, f"1/000.p/{whole}")
    assert above == b"".join(frontier_of(leaves[at * 256 : (at + 1) * 256]).root() for at in range(whole))


def test_no_record_is_too_long_for_its_bundle(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nobody can make a log that others cannot fetch, by what they say: not with a key that can only ask."""
    folder = tmp_path_factory.mktemp("long")
    node = InProcess(folder)
    api, asking = node.api, node.client(node.api.key("enforce")["key"])
    agent = api.agent()
    api.policy(["run"], ["*"], appliesTo={"agentIds": [agent]})
    created = [f"api://{at:03d}{'x' * 900}" for at in range(250)]
    asked = {"requestId": "r", "capabilityToken": api.token(agent), "action": "run", "resourceId": "api://x"}
    decision = asking.post("/v1/enforce", asked, status=200)
    body = {"status": "succeeded", "labels": [], "created": created}
    told = asking.post(f"/v1/decisions/{decision['decisionId']}/outcome", body, status=200)
    record = api.get(f"/v1/audit/{told['audit']['index']}")["record"]
    said = json.dumps(created, separators=(",", ":")).encode()
    assert record["cut"] == {"created": {"bytes": len(said), "sha256": hashlib.sha256(said).hexdigest()}}
    assert (record["decisionId"], record["status"]) == (decision["decisionId"], "succeeded")
    assert "created" not in record
    size = api.get("/v1/audit/checkpoint")["size"]
    found = entries(tile(api, f"entries/000.p/{size}"))
    assert [leaf_hash(entry).hex() for entry in found] == [api.get(f"/v1/audit/{at}")["leafHash"] for at in range(size)]
    node.close()


def test_a_decision_that_was_too_long_to_be_recorded_whole_is_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = InProcess(tmp_path)
    agent = node.api.agent()
    policies = {node.api.policy(["run"], ["*"], appliesTo={"agentIds": [agent]})["id"] for _ in range(30)}
    asked = {"requestId": "r", "capabilityToken": node.api.token(agent), "action": "run", "resourceId": "api://x"}
    monkeypatch.setattr("act.audit.record.MAX_LEAF", 2_000)
    first = node.api.post("/v1/enforce", asked, status=200)
    assert {policy["id"] for policy in first["policies"]} == policies
    assert node.api.get(f"/v1/audit/{first['audit']['index']}")["record"]["cut"].keys() >= {"policies"}
    node.close()
    node = InProcess(tmp_path)  # it starts, and reads back what it has answered
    again = node.api.post("/v1/enforce", asked, status=200)
    assert again["decision"] == "allowed"
    assert again["decisionId"] != first["decisionId"]
    node.close()


def test_what_the_log_does_not_have_yet_is_not_served(api: Api) -> None:
    size = api.get("/v1/audit/checkpoint")["size"]
    for path in (
        f"0/002.p/{size - 512 + 1}",
        "0/002",
        "0/003.p/1",
        "1/000.p/3",
        "1/000",
        "2/000.p/1",
        "entries/002",
        "x",
    ):
        tile(api, path, status=404)


def test_proofs_lead_to_the_signed_root(api: Api) -> None:
    head = api.get("/v1/audit/checkpoint")
    root = bytes.fromhex(head["rootHash"])
    for index in (0, 1, 255, 256, 511, head["size"] - 1):
        proof = api.get(f"/v1/audit/proof/inclusion?index={index}")
        record = api.get(f"/v1/audit/{index}")
        assert proof["leafHash"] == record["leafHash"]
        path = [bytes.fromhex(each) for each in proof["hashes"]]
        assert root_from_inclusion(bytes.fromhex(proof["leafHash"]), index, head["size"], path) == root
    for first in (1, 2, 255, 256, 300, head["size"]):
        proof = api.get(f"/v1/audit/proof/consistency?first={first}&second={head['size']}")
        path = [bytes.fromhex(each) for each in proof["hashes"]]
        assert consistent(first, head["size"], bytes.fromhex(proof["firstRootHash"]), root, path)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("inclusion?index=100000000", 404),
        ("inclusion?index=5&size=5", 404),
        ("inclusion?index=0&size=100000000", 404),
        ("inclusion?index=-1", 422),
        ("inclusion?index=x", 422),
        ("inclusion", 422),
        ("consistency?first=0", 422),
        ("consistency?first=9&second=8", 422),
        ("consistency?first=1&second=100000000", 404),
        ("consistency", 422),
    ],
)
def test_nonsense_is_told(api: Api, query: str, status: int) -> None:
    api.get(f"/v1/audit/proof/{query}", status=status)


def test_the_note_is_what_the_answer_says(api: Api) -> None:
    head = api.get("/v1/audit/checkpoint")
    lines = head["note"].splitlines()
    assert lines[1] == str(head["size"])
    assert base64.b64decode(lines[2]).hex() == head["rootHash"]
