"""Archives: what is removed is in a file that proves itself, and everything that could be proved before still can."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from act.audit import archive_files
from act.audit.merkle import frontier_of, leaf_hash
from act.audit.record import encode
from act.audit.stream import LogStream
from act.cli.log_files import spooled
from act.cli.verify import Result, all_verified
from act.client.embedded import EmbeddedTransport
from tests.attacks.log import Kept, keep
from tests.audit.old_records import TENANT, write_old
from tests.in_process import InProcess
from tests.support import ADMIN_KEY, Api, actctl

DAY = 86_400


@dataclass(frozen=True)
class World:
    """A node whose first 512 records, and then 256 more, went into two archives; `before` is the export of all."""

    node: InProcess
    folder: Path
    before: list[bytes]
    kept: Kept
    answers: dict[str, bytes]

    @property
    def api(self) -> Api:
        return self.node.api

    @property
    def archives(self) -> list[Path]:
        return sorted((self.folder / "act.db.archives" / TENANT).glob("*.gz"))

    def export(self) -> list[bytes]:
        return export(self.api)


def export(api: Api) -> list[bytes]:
    answer = api.send("GET", "/v1/audit/export")
    assert answer.status_code == 200
    return answer.content.splitlines()


def judge(*contents: bytes, key: str | None = None, **kept: str) -> Result:
    with ExitStack() as stack:
        files = {f"file {n}": stack.enter_context(spooled([one])) for n, one in enumerate(contents)}
        archives = {f"file {n}" for n, one in enumerate(contents) if one.startswith(b"\x1f\x8b")}
        return all_verified(files, kept, key, archives)


def records(lines: list[bytes]) -> list[Any]:
    return [found for line in lines if "record" in (found := json.loads(line))]


def unpacked(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def packed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines))


def start(folder: Path) -> InProcess:
    """A node that was made 30 days ago, so that its first records are old."""
    node = InProcess(folder, datetime.now(UTC) - timedelta(days=30))
    node.clock.move(30 * DAY)
    return node


def held(node: InProcess) -> int:
    """The first index that is in no archive."""
    return max([one["end"] for one in node.api.get("/v1/audit/archives")["items"]], default=0)


PROVEN = (
    "/v1/audit/proof/inclusion?index=0&size=900",
    "/v1/audit/proof/inclusion?index=255&size=300",
    "/v1/audit/proof/inclusion?index=511&size=777",
    "/v1/audit/proof/inclusion?index=700&size=900",
    "/v1/audit/proof/consistency?first=1&second=900",
    "/v1/audit/proof/consistency?first=300&second=600",
    "/v1/audit/proof/consistency?first=512&second=800",
    "/v1/audit/tile/0/000",
    "/v1/audit/tile/0/001.p/17",
    "/v1/audit/tile/0/002",
    "/v1/audit/tile/1/000.p/3",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    node = start(folder)
    writer = node.node._writer
    write_old(writer, 700)
    kept = keep(node.api)
    write_old(writer, 300, days=3)
    before = export(node.api)
    answers = {path: node.api.send("GET", path).content for path in PROVEN}
    for older_than, end in ((10 * DAY, 512), (2 * DAY, 768)):
        made = node.api.post("/v1/audit/archives", {"olderThan": older_than})
        assert (made["archive"]["end"], made["hasMore"]) == (end, False)
    node.node.archives.remove()
    yield World(node, folder, before, kept, answers)
    node.close()


# --- what is left, and what is proved ---


def test_what_was_removed_is_in_the_archives_as_it_was_exported(world: World) -> None:
    parts = [unpacked(path) for path in world.archives]
    together = [line for part in (*parts, world.export()) for line in part if line.startswith(b'{"index":')]
    assert together[: len(world.before) - 1] == world.before[:-1]
    listed = world.api.get("/v1/audit/archives")["items"]
    assert [(one["first"], one["end"], one["removed"]) for one in listed] == [(0, 512, 512), (512, 768, 768)]
    for one, path in zip(listed, world.archives, strict=True):
        stored = archive_files.digest(path)
        assert (one["file"], one["sha256"], one["bytes"]) == (f"{TENANT}/{path.name}", stored.sha256, stored.bytes)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_proof_and_tile_is_what_it_was(world: World) -> None:
    for path, answer in world.answers.items():
        now = world.api.send("GET", path)
        assert (now.status_code, now.content) == (200, answer), path


def test_records_that_are_in_an_archive_are_gone_and_it_is_named(world: World) -> None:
    api = world.api
    for path, name in (
        ("/v1/audit/5", "000000000000-000000000512"),
        ("/v1/audit/511", "000000000000-000000000512"),
        ("/v1/audit/512", "000000000512-000000000768"),
        ("/v1/audit/tile/entries/000", "000000000000-000000000512"),
        ("/v1/audit/tile/entries/002.p/9", "000000000512-000000000768"),
        ("/v1/audit/export?begin=0", "000000000000-000000000512"),
        ("/v1/audit/export?begin=767&format=csv", "000000000512-000000000768"),
    ):
        problem = api.get(path, status=410)
        assert problem["code"] == "archived"
        assert f"{TENANT}/{name}.jsonl.gz" in problem["detail"]
    problem = api.get("/v1/events?limit=1", status=410, headers={"Last-Event-ID": "100"})
    assert problem["code"] == "archived"
    assert api.get("/v1/audit/768")["index"] == 768
    assert api.get("/v1/audit?order=asc&limit=1")["items"][0]["index"] == 768
    assert api.get("/v1/audit?order=asc&limit=1&agent=agt_1&action=old")["items"][0]["index"] >= 768
    assert len(api.send("GET", "/v1/audit/tile/entries/003.p/9").content) > 9
    assert api.send("GET", "/v1/events?limit=1", headers={"Last-Event-ID": "767"}).status_code == 200


def test_the_log_says_what_went_where(world: World) -> None:
    for one in world.api.get("/v1/audit/archives")["items"]:
        found = world.api.get("/v1/audit?kind=audit.archived")["items"]
        [record] = [item["record"] for item in found if item["record"]["first"] == one["first"]]
        assert {name: record[name] for name in ("first", "end", "file", "bytes", "sha256")} == {
            name: one[name] for name in ("first", "end", "file", "bytes", "sha256")
        }
        assert record["checkpoint"].split("\n")[1] == str(one["end"])
        assert record["keyId"]


def test_archives_verify_alone_and_together_with_the_export(world: World) -> None:
    first, second = (path.read_bytes() for path in world.archives)
    rest = b"\n".join(world.export()) + b"\n"
    key = world.kept.key
    assert judge(first, key=key).message == "512 records verified."
    alone = judge(second, key=key)
    assert (alone.ok, alone.begin, alone.size) == (True, 512, 768)
    size = world.api.get("/v1/audit/checkpoint")["size"]
    for files in ((first, second, rest), (rest, second, first)):
        found = judge(*files, key=key, kept=world.kept.note)
        assert (found.ok, found.begin, found.size, found.checkpoints) == (True, 0, size, 1), found.message


def test_a_checkpoint_of_records_that_are_not_there_is_not_passed_over(world: World) -> None:
    early = json.loads(unpacked(world.archives[0])[-1])["checkpoint"]["note"]
    second = world.archives[1].read_bytes()
    assert judge(second, key=world.kept.key, kept=early).ok, "what the archive goes on from is what was signed"
    rest = b"\n".join(world.export()) + b"\n"
    found = judge(rest, key=world.kept.key, kept=early)
    assert not found.ok
    assert "those before 768 are not here" in found.message


# --- attacks on the files ---


def edited(lines: list[bytes], at: int, *, rehash: bool) -> list[bytes]:
    line = json.loads(lines[at])
    line["record"]["decision"] = "allowed"
    if rehash:
        line["leafHash"] = leaf_hash(encode(line["record"])).hex()
    return [*lines[:at], json.dumps(line).encode(), *lines[at + 1 :]]


def test_a_tampered_archive_is_found_alone_and_among_others(world: World) -> None:
    first, second = (path.read_bytes() for path in world.archives)
    lines, key = unpacked(world.archives[1]), world.kept.key
    forged = packed(edited(lines, 101, rehash=False))
    for files in ((forged,), (first, forged)):
        found = judge(*files, key=key)
        assert (found.ok, found.bad_index) == (False, 612), found.message
    for wrong in (
        edited(lines, 101, rehash=True),
        [*lines[:50], *lines[51:]],
        [lines[0], *lines[2:]],
        lines[1:],
        [lines[0], lines[1], lines[1], *lines[2:]],
        [*lines[:-1], unpacked(world.archives[0])[-1]],
        lines[:-1],
        [*lines, lines[-1]],
        [lines[0].replace(b'"index":512', b'"index":256'), *lines[1:]],
        [lines[0].replace(b'"roots":["', b'"roots":["00'), *lines[1:]],
    ):
        assert not judge(packed(wrong), key=key).ok
        assert not judge(first, packed(wrong), key=key).ok
    before = json.loads(lines[0])
    before["begin"]["roots"][0] = before["begin"]["roots"][0][::-1]
    assert "not those that the checkpoint" in judge(packed([json.dumps(before).encode(), *lines[1:]]), key=key).message
    assert judge(first, second, key=key).ok


def test_an_archive_that_is_cut_off_or_no_archive_is_refused(world: World, tmp_path: Path) -> None:
    whole = world.archives[0].read_bytes()
    file = tmp_path / "cut.gz"
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:-20] + bytes(20)):
        file.write_bytes(content)
        run = subprocess.run([actctl(), "audit", "verify", str(file)], capture_output=True, text=True)
        assert run.returncode == 1
        assert "damaged, or cut off" in run.stderr
        assert "Traceback" not in run.stderr
        with pytest.raises(archive_files.ArchiveInvalid):
            list(archive_files.lines(file))


def test_a_missing_archive_is_named(world: World) -> None:
    first = world.archives[0].read_bytes()
    rest = b"\n".join(world.export()) + b"\n"
    found = judge(first, rest, key=world.kept.key)
    assert (found.ok, found.bad_index) == (False, 512)
    assert found.message == "The records from 512 to 767 are in none of the files."


def test_files_that_overlap(world: World) -> None:
    """An export that was gone on with has what is in archives by now; where it has the same, it says the same."""
    first, second = (path.read_bytes() for path in world.archives)
    whole = b"\n".join(world.before) + b"\n"
    rest, key = b"\n".join(world.export()) + b"\n", world.kept.key
    size = world.api.get("/v1/audit/checkpoint")["size"]
    for files, end in (
        ((first, whole), len(world.before) - 1),
        ((first, second, whole), len(world.before) - 1),
        ((second, whole, first, rest), size),
        ((first, first, second), 768),
    ):
        found = judge(*files, key=key)
        assert (found.ok, found.begin, found.size) == (True, 0, end), found.message
    found = judge(whole, second, key=key, kept=world.kept.note)
    assert (found.ok, found.checkpoints) == (True, 1)
    lines = unpacked(world.archives[1])
    for at, index in ((1, 512), (256, 767)):
        forged = packed(edited(lines, at, rehash=True))
        for files in ((whole, forged), (whole, forged, rest), (first, forged, whole)):
            assert not judge(*files, key=key).ok
        found = judge(whole, packed(edited(lines, at, rehash=False)), key=key)
        assert (found.ok, found.bad_index) == (False, index)
    altered = edited(world.before, 600, rehash=True)
    assert not judge(first, second, b"\n".join(altered) + b"\n", key=key).ok
    assert not judge(second, b"\n".join(world.before[:600]) + b"\n", key=key).ok, "it ends without a checkpoint"


def test_an_archive_of_another_tenant_or_server_is_told(world: World, tmp_path: Path) -> None:
    node = start(tmp_path)
    node.node.tenant_service.create_tenant("other", "other", ADMIN_KEY[::-1])
    node.clock.move(2 * DAY)
    with node.client(ADMIN_KEY[::-1]) as api:
        for tenant_id, mine in ((TENANT, node.api), ("other", api)):
            write_old(node.node._writer, 600, tenant_id=tenant_id)
            mine.post("/v1/audit/archives", {"olderThan": DAY})
        strange = [next((tmp_path / "act.db.archives" / tenant).glob("*.gz")) for tenant in (TENANT, "other")]
        assert api.get("/v1/audit/archives")["items"][0]["file"].startswith("other/")
        assert api.get("/v1/audit/5", status=410)["detail"].count("other/") == 1
    second = world.archives[1].read_bytes()
    for path in strange:
        assert judge(path.read_bytes()).ok
        for key in (None, world.kept.key):
            assert not judge(path.read_bytes(), second, key=key).ok
    assert (
        "of another log" in judge(*(path.read_bytes() for path in strange)).message
        or not judge(*(path.read_bytes() for path in strange)).ok
    )


def test_two_branches_of_one_log_do_not_go_together(world: World) -> None:
    """The files of a log that was rewritten and signed anew: by the same key, of the same tenant."""
    node, lines = world.node.node, unpacked(world.archives[0])
    leaves = [bytes.fromhex(json.loads(line)["leafHash"]) for line in lines[:-1]]
    forged = edited(lines, 7, rehash=True)
    leaves[7] = bytes.fromhex(json.loads(forged[7])["leafHash"])
    log: Any = node.archives._sealing._log
    head = log.signed(TENANT, frontier_of(leaves))
    branch = packed([*forged[:-1], f'{{"checkpoint":{head.model_dump_json()}}}'.encode()])
    assert judge(branch, key=world.kept.key).ok, "signed by the log's own key"
    found = judge(branch, world.archives[1].read_bytes(), key=world.kept.key)
    assert (found.ok, found.bad_index) == (False, 512)
    assert "another log" in found.message
    for other in (world.archives[0].read_bytes(), b"\n".join(world.before) + b"\n"):
        for files in ((branch, other), (other, branch)):
            assert not judge(*files, key=world.kept.key).ok, "where they overlap they differ"


# --- what is not archived ---


@pytest.fixture
def node(tmp_path: Path) -> Iterator[InProcess]:
    running = start(tmp_path)
    running.node.archives._next = float("inf")
    yield running
    running.close()


def refused(node: InProcess, words: str) -> None:
    """No archive is made, that is said, and everything is where it was."""
    before = export(node.api)
    problem = node.api.post("/v1/audit/archives", {"olderThan": DAY}, status=503)
    assert problem["code"] == "archive_failed"
    assert words in problem["detail"]
    assert "nothing was removed" in problem["detail"]
    node.node.archives.remove()
    assert export(node.api) == before
    assert held(node) == 0


def test_a_folder_that_cannot_be_written(node: InProcess, tmp_path: Path) -> None:
    write_old(node.node._writer, 300)
    (tmp_path / "act.db.archives").write_text("a file")
    refused(node, "act.db.archives")
    (tmp_path / "act.db.archives").unlink()
    assert node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == 256


def test_a_record_that_was_changed_is_not_sealed(node: InProcess) -> None:
    write_old(node.node._writer, 300)
    with node.node._writing.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE audit_records SET record = replace(record, 'denied', 'allowed') WHERE idx = 100"
        )
    refused(node, "Record 100 was changed")


def test_a_record_that_is_missing_is_not_sealed(node: InProcess) -> None:
    write_old(node.node._writer, 300)
    with node.node._writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit_records WHERE idx = 100")
    problem = node.api.post("/v1/audit/archives", {"olderThan": DAY}, status=503)
    assert problem["code"] == "archive_failed"
    assert held(node) == 0


def test_a_file_that_is_not_what_was_sealed_keeps_the_records(node: InProcess, tmp_path: Path) -> None:
    write_old(node.node._writer, 300)
    archives = node.node.archives
    with archives._removal._removing:  # so that nobody removes meanwhile
        made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
        path = tmp_path / "act.db.archives" / made["file"]
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
    for damage in (lambda: path.write_bytes(whole[:-1]), path.unlink):
        damage()
        archives.remove()
        assert node.api.get("/v1/audit/archives")["items"][0]["removed"] == 0
        with node.node._reading.connect() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM audit_records WHERE idx < 256").scalar()
        assert count == 256
    path.write_bytes(whole)
    archives.remove()
    assert node.api.get("/v1/audit/archives")["items"][0]["removed"] == 256


def test_arguments_that_are_erased_meanwhile_are_not_archived(
    node: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the file and the record of it."""
    token = node.api.token(node.api.agent())
    index = node.api.enforce(token, "run", "x", arguments={"plain": "to be erased"})["audit"]["index"]
    node.clock.move(2 * DAY)
    write_old(node.node._writer, 300)
    digest = archive_files.digest

    def late(path: Path) -> Any:
        node.api.post(f"/v1/audit/{index}/erase", {"reason": "now"}, status=200)
        return digest(path)

    monkeypatch.setattr(archive_files, "digest", late)
    problem = node.api.post("/v1/audit/archives", {"olderThan": DAY}, status=503)
    assert "erased meanwhile" in problem["detail"]
    assert not list((tmp_path / "act.db.archives" / TENANT).iterdir())
    monkeypatch.setattr(archive_files, "digest", digest)
    made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
    lines = unpacked(tmp_path / "act.db.archives" / made["file"])
    assert json.loads(lines[index])["index"] == index
    assert not any(b"to be erased" in line for line in lines)
    assert judge(packed(lines)).ok


def test_a_file_that_the_log_does_not_tell_of_is_not_left(node: InProcess, tmp_path: Path) -> None:
    """Nobody would know that it has arguments which are erased from the database later."""
    write_old(node.node._writer, 300)
    node.node._writer.stop()
    problem = node.api.post("/v1/audit/archives", {"olderThan": DAY}, status=503)
    assert problem["code"] == "overloaded"
    assert not list((tmp_path / "act.db.archives" / TENANT).iterdir())
    assert held(node) == 0


def test_a_listener_that_lags_behind_an_archive_is_not_led_past_it(node: InProcess) -> None:
    write_old(node.node._writer, 600)
    stream = LogStream(node.node._reading, lambda tenant_id: node.node._writer.head(tenant_id).size)

    async def listened() -> list[bytes]:
        place = stream.admit(TENANT)
        events = stream.events(TENANT, -1, 510, place, lambda: True)
        seen = [await anext(events) for _ in range(500)]
        await asyncio.to_thread(node.api.post, "/v1/audit/archives", {"olderThan": DAY})
        await asyncio.to_thread(node.node.archives.remove)
        return seen + [event async for event in events]

    seen = asyncio.run(listened())
    assert [event.split(b"\n")[0] for event in seen] == [b"id: %d" % index for index in range(500)]


def test_what_is_kept_of_arguments_is_in_the_archive_with_its_proof(node: InProcess, tmp_path: Path) -> None:
    token = node.api.token(node.api.agent())
    index = node.api.enforce(token, "run", "x", arguments={"plain": "kept"})["audit"]["index"]
    early = export(node.api)
    node.clock.move(2 * DAY)
    write_old(node.node._writer, 300)
    made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
    lines = unpacked(tmp_path / "act.db.archives" / made["file"])
    assert json.loads(lines[index])["arguments"] == {"plain": "kept"}
    altered = [line.replace(b'"plain":"kept"', b'"plain":"else"') for line in lines]
    found = judge(packed(altered))
    assert (found.ok, found.bad_index) == (False, index)
    assert "arguments" in found.message
    # What the operator of the file may take out, to erase it there.
    line = json.loads(lines[index])
    bare = {name: line[name] for name in ("index", "leafHash", "record")}
    found = judge(packed([*lines[:index], json.dumps(bare).encode(), *lines[index + 1 :]]))
    assert (found.ok, found.erased, found.rewritten) == (True, 0, 1)
    # Not out of an export, also when an archive has the same records.
    assert judge(b"\n".join(early), packed(lines)).ok
    taken = b"\n".join([*early[:index], json.dumps(bare).encode(), *early[index + 1 :]])
    found = judge(taken, packed(lines))
    assert (found.ok, found.bad_index) == (False, index)


def test_an_archive_is_known_by_what_it_is_and_not_by_its_name(node: InProcess, tmp_path: Path) -> None:
    """Of one that was made when its arguments were erased already, a later file says so, also one that overlaps."""
    token = node.api.token(node.api.agent())
    index = node.api.enforce(token, "run", "x", arguments={"plain": "kept"})["audit"]["index"]
    node.clock.move(2 * DAY)
    write_old(node.node._writer, 300)
    node.api.post(f"/v1/audit/{index}/erase", {"reason": "a test"}, status=200)
    exported = tmp_path / "log.jsonl"
    exported.write_bytes(b"\n".join(export(node.api)) + b"\n")
    made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
    packed_as, plain = tmp_path / "archive.bin", tmp_path / "archive.jsonl"
    packed_as.write_bytes((tmp_path / "act.db.archives" / made["file"]).read_bytes())
    plain.write_bytes(gzip.decompress(packed_as.read_bytes()))

    def verify(*files: Path) -> subprocess.CompletedProcess[str]:
        command = [actctl(), "audit", "verify", "--output", "json", *map(str, files)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    alone, unpacked_one, both = verify(packed_as), verify(plain), verify(packed_as, exported)
    assert (alone.returncode, json.loads(alone.stdout)["rewritten"]) == (0, 1)
    assert unpacked_one.returncode == 1
    assert "An archive is to be given as it was packed." in unpacked_one.stderr
    found = json.loads(both.stdout)
    assert (both.returncode, found["erased"], found["unnamed"]) == (0, 1, 0)


def test_another_file_of_the_same_name_is_kept(node: InProcess, tmp_path: Path) -> None:
    write_old(node.node._writer, 300)
    folder = tmp_path / "act.db.archives" / TENANT
    folder.mkdir(parents=True)
    (folder / "000000000000-000000000256.jsonl.gz").write_bytes(b"of a database that was put back")
    (folder / "left.new").write_bytes(b"of a process that was killed")
    made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
    assert judge((folder.parent / made["file"]).read_bytes()).ok
    others = {path.read_bytes() for path in folder.iterdir() if path.name != Path(made["file"]).name}
    assert others == {b"of a database that was put back"}


def test_only_what_is_old_enough_is_archived(node: InProcess) -> None:
    api, writer = node.api, node.node._writer
    for wrong in ({"olderThan": DAY - 1}, {"olderThan": 0}, {"olderThan": "1d"}, {"older": DAY}, {"olderThan": 1.5}):
        assert api.post("/v1/audit/archives", wrong, status=422)["code"] == "document_invalid"
    assert api.post("/v1/audit/archives", {}, status=422)["errors"][0]["pointer"] == "/olderThan"
    write_old(writer, 600, days=0)
    write_old(writer, 600, days=9)
    assert api.post("/v1/audit/archives", {"olderThan": DAY}) == {"archive": None, "hasMore": False}
    node.clock.move(2 * DAY)
    # The clock that was wrong once: what stands after a young record waits for it.
    assert api.post("/v1/audit/archives", {"olderThan": 5 * DAY})["archive"] is None
    assert api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == 1024


def test_what_something_still_rests_on_is_not_archived(node: InProcess) -> None:
    api, writer = node.api, node.node._writer
    api.patch(f"/v1/tenants/{TENANT}", {"maxTokenTtl": 40 * DAY})
    agent = api.agent()
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints={"requiresApproval": {"expiresIn": 20 * DAY}})
    api.policy(["run"], appliesTo={"agentIds": [agent]}, constraints={"maxConcurrentTasks": 3, "leaseSeconds": 6 * DAY})
    token = api.token(agent, expiresIn=40 * DAY)
    write_old(writer, 300)
    lease = api.enforce(token, "run", "x")
    write_old(writer, 300)
    asked = api.enforce(token, "ask", "x")
    write_old(writer, 300)
    node.clock.move(2 * DAY)
    seal: Callable[[], Any] = lambda: api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]  # noqa: E731
    assert seal()["end"] == lease["audit"]["index"] // 256 * 256
    assert seal() is None
    api.post(f"/v1/decisions/{lease['decisionId']}/outcome", {"status": "succeeded"}, status=200)
    assert seal()["end"] == asked["audit"]["index"] // 256 * 256
    node.clock.move(30 * DAY)
    node.node._expiry.sweep()
    assert seal()["end"] == api.get("/v1/audit/checkpoint")["size"] // 256 * 256
    node.node.archives.remove()
    problem = api.post(f"/v1/decisions/{lease['decisionId']}/outcome", {"status": "failed"}, status=410)
    assert problem["code"] == "archived"
    assert api.post("/v1/decisions/dec_x/outcome", {"status": "failed"}, status=404)["code"] == "not_found"


def test_the_setting_of_the_tenant_archives_once_a_day(node: InProcess) -> None:
    api, archives = node.api, node.node.archives
    path = f"/v1/tenants/{TENANT}"
    for wrong in (DAY - 1, 0, -1, "30d", 10**12, True):
        assert api.patch(path, {"auditRetention": wrong}, status=422)["errors"][0]["pointer"] == "/auditRetention"
    assert api.get(path)["auditRetention"] is None
    write_old(node.node._writer, 600)
    archives._next = 0.0
    archives.sweep()
    assert held(node) == 0, "without a setting the records stay for ever"
    assert api.patch(path, {"auditRetention": 7 * DAY})["auditRetention"] == 7 * DAY
    assert api.get("/v1/audit?kind=tenant.updated&limit=1")["items"][0]["record"]["auditRetention"] == 7 * DAY
    archives.sweep()
    assert held(node) == 0, "not before tomorrow"
    node.clock.move(DAY)
    archives.sweep()
    assert held(node) == 512
    assert api.get("/v1/audit/archives")["items"][0]["removed"] == 512
    assert "keyId" not in api.get("/v1/audit?kind=audit.archived")["items"][0]["record"]
    assert api.patch(path, {"auditRetention": None})["auditRetention"] is None
    write_old(node.node._writer, 600)
    node.clock.move(2 * DAY)
    archives.sweep()
    assert held(node) == 512


def test_one_archive_is_made_at_a_time(node: InProcess) -> None:
    write_old(node.node._writer, 300)
    with node.node.archives._sealing.one:
        assert node.api.post("/v1/audit/archives", {"olderThan": DAY}, status=409)["code"] == "archiving"
    assert node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == 256


def test_large_logs_go_into_several_archives(node: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from act.audit import archive_sealing

    monkeypatch.setattr(archive_sealing, "LONGEST", 512)
    write_old(node.node._writer, 1300)
    before = export(node.api)
    ends = []
    while True:
        made = node.api.post("/v1/audit/archives", {"olderThan": DAY})
        ends.append(made["archive"]["end"])
        if not made["hasMore"]:
            break
    assert ends == [512, 1024, 1280]
    node.node.archives.remove()
    found = [one["file"] for one in node.api.get("/v1/audit/archives?limit=2")["items"]]
    assert len(found) == 2
    page = node.api.get("/v1/audit/archives?limit=2")
    assert len(node.api.get(f"/v1/audit/archives?limit=2&cursor={page['nextCursor']}")["items"]) == 1
    assert export(node.api)[1:][: len(before) - 1 - 1280] == before[1280:-1]


def test_a_node_that_is_started_again_goes_on(tmp_path: Path) -> None:
    node = start(tmp_path)
    write_old(node.node._writer, 600)
    with node.node.archives._removal._removing:
        node.api.post("/v1/audit/archives", {"olderThan": DAY})
        node.node.archives.stop()
    node.close()
    node = start(tmp_path)
    assert held(node) == 512
    assert node.api.get("/v1/audit/5", status=410)["code"] == "archived"
    node.node.archives.remove()
    assert node.api.get("/v1/audit/archives")["items"][0]["removed"] == 512
    node.close()
    node = start(tmp_path)
    node.clock.move(2 * DAY)
    write_old(node.node._writer, 600)
    assert node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["first"] == 512
    files = [path.read_bytes() for path in sorted((tmp_path / "act.db.archives" / TENANT).iterdir())]
    assert judge(*files, b"\n".join(export(node.api)) + b"\n").ok
    node.close()


@pytest.mark.timeout(280)
def test_killed_at_any_step(tmp_path: Path) -> None:
    """One process after the other, each killed one step later than the one before, until one comes to its end."""
    node = start(tmp_path)
    write_old(node.node._writer, 560)
    before = [line for line in export(node.api) if line.startswith(b'{"index":')]
    node.close()
    (tmp_path / "before").write_bytes(b"\n".join(before))
    program = [sys.executable, "-m", "tests.audit.killed", str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=270, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = done.stdout.split()
    assert len(steps) > 8, done.stdout
    assert steps[-1] == "end"


# --- what is erased is nowhere ---

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from tests.in_process import InProcess

node = InProcess(Path(sys.argv[1]), datetime.now(UTC))
node.node.archives._sealing._told = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
node.api.post("/v1/audit/archives", {"olderThan": 86400})
"""


def killed_before_it_was_told(folder: Path) -> Path:
    """Archive in a process that is killed when the file is there and the log does not tell of it; the file."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [left] = (folder / "act.db.archives" / TENANT).iterdir()
    return left


def test_a_file_that_a_killed_process_left_does_not_outlive_what_is_erased(tmp_path: Path) -> None:
    node = InProcess(tmp_path, datetime.now(UTC) - timedelta(days=30))
    text = "marigold of nobody"
    index = node.api.enforce(node.api.token(node.api.agent()), "run", "x", arguments={"note": text})["audit"]["index"]
    write_old(node.node._writer, 300)
    node.close()
    left = killed_before_it_was_told(tmp_path)
    assert text.encode() in gzip.decompress(left.read_bytes())
    (left.parent / f"{left.name}.new").write_bytes(b"begun")
    shutil.copy(left, left.with_name(f"{left.name}.{'0123456789abcdef'}"))  # as an archive of later moves it aside
    node = start(tmp_path)
    try:
        node.node.archives.sweep()
        assert list(left.parent.iterdir()) == []
        node.api.post(f"/v1/audit/{index}/erase", {"reason": "r"}, status=200)
        assert node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == 256
        assert text.encode() not in gzip.decompress(left.read_bytes())
    finally:
        node.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_only_what_is_elsewhere_is_deleted(node: InProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a database that was put back, an archive may have records that are nowhere else."""
    write_old(node.node._writer, 600)
    made = node.api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]
    folder = tmp_path / "act.db.archives" / TENANT
    sealed = folder / Path(made["file"]).name
    lines = unpacked(sealed)
    root = json.loads(lines[-1])["checkpoint"]["rootHash"]
    kept = {
        "000000000000-000000000256.jsonl.gz": packed(lines),  # its name is not what it holds
        "000000000000-000000001024.jsonl.gz": sealed.read_bytes(),  # as many records the log does not have
        "000000000512-000000000000.jsonl.gz": sealed.read_bytes(),
        f"{sealed.name}.{'0' * 16}": packed([line.replace(root.encode(), b"0" * 64) for line in lines]),
        f"{sealed.name}.{'1' * 16}": packed(lines[:-1]),
        f"{sealed.name}.{'2' * 16}": sealed.read_bytes()[:-9],
        f"{sealed.name}.{'3' * 16}": packed([*lines, b'{"checkpoint":']),
        f"{sealed.name}.bak": sealed.read_bytes(),
        "notes.txt": b"mine",
    }
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    (folder / f"{sealed.name}.{'4' * 16}").symlink_to(sealed)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    archives = node.node.archives
    archives._next = 0.0
    archives.sweep()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    warned = [record.getMessage() for record in caplog.records if "was left as it is" in record.getMessage()]
    assert len(warned) == 7
    # Nor is the last copy, when the archive itself was damaged.
    copy = folder / f"{sealed.name}.{'5' * 16}"
    copy.write_bytes(sealed.read_bytes())
    sealed.write_bytes(sealed.read_bytes()[:-1])
    archives._next = 0.0
    archives.sweep()
    assert copy.read_bytes() == before[sealed.name]
    sealed.write_bytes(before[sealed.name])
    archives._next = 0.0
    archives.sweep()
    assert not copy.exists()
    assert sealed.exists()


def test_an_approval_keeps_nothing_that_could_not_be_erased_any_more(node: InProcess, tmp_path: Path) -> None:
    """Its decision is in an archive, by which alone it could be named."""
    api, texts = node.api, [f"marigold {number} of nobody" for number in range(4)]
    api.patch(f"/v1/tenants/{TENANT}", {"maxTokenTtl": 40 * DAY})
    agent, key = api.agent(), api.key("enforce")["key"]
    terms: Any = {"requiresApproval": {"expiresIn": 20 * DAY}}
    api.policy(["ask"], appliesTo={"agentIds": [agent]}, constraints=terms)
    token = api.token(agent, expiresIn=40 * DAY)
    point = Api(str(api.client.base_url), key, EmbeddedTransport(node._service))

    def ask(text: str) -> Any:
        return point.enforce(token, "ask", "x", arguments={"n": text}, context={"n": text, "conversationId": "c"})

    ids = [ask(text)["approval"]["id"] for text in texts[:3]]
    api.post(f"/v1/approvals/{ids[0]}/approve", {}, status=200)
    assert ask(texts[0])["reasonCode"] == "allowed"
    api.post(f"/v1/approvals/{ids[1]}/reject", {"reason": "no"}, status=200)
    api.post(f"/v1/approvals/{ids[2]}/reject", {"reason": "no"}, status=200)
    assert [api.get(f"/v1/approvals/{id}")["arguments"] for id in ids] == [{"n": text} for text in texts[:3]]
    write_old(node.node._writer, 300)
    open_one = ask(texts[3])
    write_old(node.node._writer, 300)
    node.clock.move(2 * DAY)
    end = open_one["audit"]["index"] // 256 * 256
    assert api.post("/v1/audit/archives", {"olderThan": DAY})["archive"]["end"] == end
    node.node.archives.remove()
    for id in ids:
        shown = api.get(f"/v1/approvals/{id}")
        assert (shown["arguments"], shown["context"]) == (None, {"conversationId": "c"})
    assert api.get(f"/v1/approvals/{open_one['approval']['id']}")["arguments"] == {"n": texts[3]}
    assert ask(texts[1])["reasonCode"] == "approval_rejected", "a no is known until its time is over"
    node.node._expiry.sweep()
    node.clock.move(30 * DAY)
    node.node._expiry.sweep()
    assert api.post("/v1/audit/archives", {"olderThan": DAY})["archive"] is not None
    node.node.archives.remove()
    assert api.get(f"/v1/approvals/{open_one['approval']['id']}")["arguments"] is None
    api.post("/v1/audit/erase", {"agentId": agent, "reason": "r"}, status=200)
    node.close()
    content = (tmp_path / "act.db").read_bytes()
    assert not [text for text in texts if text.encode() in content]
