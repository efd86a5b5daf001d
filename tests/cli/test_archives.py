"""Exports that break off and go on, archives as files, and the proof of all of them together, by the real program."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.audit.old_records import TENANT, fill
from tests.support import ADMIN_KEY, Server, actctl

from .conftest import Ctl

COUNT = 2000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with many old records, the first ones too."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder) as server:
        server.stop()
        fill(server.database, COUNT)
        make_old(server)
        server.start()
        yield server


def make_old(server: Server) -> None:
    """Give the first records of the log another time, and the log new hashes: as if it was begun long ago."""
    import sqlite3
    from contextlib import closing

    from act.audit.merkle import frontier_of, leaf_hash
    from act.audit.record import encode

    with closing(sqlite3.connect(server.database)) as connection:
        query = "SELECT idx, record FROM audit_records WHERE tenant_id = ? ORDER BY idx"
        leaves = []
        for index, text in connection.execute(query, (TENANT,)).fetchall():
            record = encode(json.loads(text) | {"at": "2026-01-01T00:00:00.000Z"})
            leaves.append(leaf_hash(record))
            values = (record.decode(), leaves[-1], TENANT, index)
            connection.execute("UPDATE audit_records SET record=?, leaf_hash=? WHERE tenant_id=? AND idx=?", values)
        tree = frontier_of(leaves)
        for number in range(tree.size // 256):
            root = frontier_of(leaves[number * 256 : number * 256 + 256]).root()
            mine = (root, TENANT, number)
            connection.execute("UPDATE audit_subtrees SET hash=? WHERE tenant_id=? AND level=1 AND number=?", mine)
        connection.execute("UPDATE audit_trees SET frontier=? WHERE tenant_id=?", (tree.to_bytes(), TENANT))
        connection.commit()


class Middleman:
    """Passes on what the server answers, and of an export no more than so many bytes before it ends the connection.

    Args:
        waits: it does not end it, and sends no more.
    """

    def __init__(self, server: Server, most: int, *, waits: bool = False) -> None:
        self._over = over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with server.api() as api:
                    answer = api.send("GET", self.path)
                content = answer.content
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["content-type"])
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                sent = content[:most]
                self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
                if waits:
                    self.wfile.flush()
                    over.wait(60)
                if len(content) <= most:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = True

            def log_message(self, format: str, *of: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __enter__(self) -> Middleman:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()


def count(file: Path) -> int:
    return sum(line.startswith(b'{"index":') for line in file.read_bytes().splitlines())


def test_an_export_that_breaks_off_says_so_and_goes_on(ctl: Ctl, server: Server, tmp_path: Path) -> None:
    file, partial = tmp_path / "log.jsonl", tmp_path / "log.jsonl.partial"
    with Middleman(server, 300_001) as middle:
        run = ctl("audit", "export", "--file", file, ACT_BASE_URL=middle.url)
        assert run.code == 1
        there = count(partial)
        assert there > 500
        assert f"broke off after {there} records" in run.err
        assert f"--resume {file}" in run.err
        assert "ended before the export did" in run.err
        assert "is it running" not in run.err
        assert not file.exists()
        # And again: it grows each time.
        further = ctl("audit", "export", "--resume", file, ACT_BASE_URL=middle.url)
        assert further.code == 1
        assert count(partial) > there
        again = ctl("audit", "export", "--file", file, ACT_BASE_URL=middle.url)
        assert (again.code, "--resume" in again.err) == (1, True), "what there is is not lost"
    # A last line that is not whole is no record.
    with partial.open("ab") as torn:
        torn.write(b'{"index":99999,"leafHash":"00')
    done = ctl("audit", "export", "--resume", file).ok()
    assert "beside" in done.err
    assert not partial.exists()
    assert count(file) >= COUNT
    whole = tmp_path / "whole.jsonl"
    ctl("audit", "export", "--file", whole).ok()
    records = [line for line in whole.read_bytes().splitlines() if line.startswith(b'{"index":')]
    assert file.read_bytes().splitlines()[: len(records)] == records


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_export_that_is_interrupted_says_what_there_is(
    ctl: Ctl, server: Server, tmp_path: Path, number: int, code: int
) -> None:
    file, partial = tmp_path / "log.jsonl", tmp_path / "log.jsonl.partial"
    with Middleman(server, 300_001, waits=True) as middle:
        process = subprocess.Popen(
            [actctl(), "audit", "export", "--file", file],
            stderr=subprocess.PIPE,
            text=True,
            env=ctl.environment | {"ACT_BASE_URL": middle.url},
        )
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 200_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"Interrupted.\nThe export broke off after {count(partial)} records, which are in {partial}." in said
    assert f"--resume {file}" in said
    assert "is it running" not in said
    ctl("audit", "export", "--resume", file).ok()
    assert count(file) >= COUNT


def test_a_whole_export_is_brought_up_to_date(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    ctl("audit", "export", "--file", file).ok()
    before = count(file)
    ctl("agents", "create", f"Agent of {tmp_path.name}").ok()
    assert f"Exported 1 records to {file}, beside {before}" in ctl("audit", "export", "--resume", file).ok().err
    assert (count(file), sorted(path.name for path in tmp_path.iterdir())) == (before + 1, ["log.jsonl"])
    assert ctl.json("audit", "verify", file)["ok"] is True


def test_what_is_not_the_begin_of_the_log_is_not_gone_on_with(ctl: Ctl, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    ctl("audit", "export", "--file", file).ok()
    lines = file.read_bytes().splitlines(keepends=True)
    fields = json.loads(lines[20])
    fields["record"]["action"] = "another"
    for content, words in (
        ([*lines[:20], json.dumps(fields).encode() + b"\n", *lines[21:40]], "Record 20 was changed"),
        ([rehashed(lines[0]), *lines[1:40]], "are not those in the file"),
        ([*lines[:-1], extra(len(lines) - 1)], "/begin"),
    ):
        file.write_bytes(b"".join(content))
        run = ctl("audit", "export", "--resume", file)
        assert run.code == 1
        assert words in run.err
        assert file.read_bytes() == b"".join(content), "it was not touched"
        assert list(tmp_path.iterdir()) == [file]


def rehashed(line: bytes) -> bytes:
    """Another first record, with a hash that fits: of another log."""
    from act.audit.merkle import leaf_hash
    from act.audit.record import encode

    fields = json.loads(line)
    fields["record"]["tenantName"] = "another"
    fields["leafHash"] = leaf_hash(encode(fields["record"])).hex()
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def extra(index: int) -> bytes:
    """One more record than the server has."""
    from act.audit.merkle import leaf_hash
    from act.audit.record import encode

    record = {"index": index, "kind": "decision"}
    return json.dumps({"index": index, "leafHash": leaf_hash(encode(record)).hex(), "record": record}).encode() + b"\n"


@pytest.mark.timeout(120)
def test_a_server_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.stop()
        fill(server.database, 15_000, days=0)
        server.start()
        ctl = Ctl({"ACT_BASE_URL": server.url, "ACT_API_KEY": ADMIN_KEY}, tmp_path)
        file = tmp_path / "log.jsonl"
        command = [actctl(), "audit", "export"]
        process = subprocess.Popen(
            command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ctl.environment
        )
        assert process.stdout is not None
        first = process.stdout.read(1 << 16)  # no more than this is read before the server is gone
        server.kill()
        rest, words = process.communicate(timeout=60)
        assert process.returncode == 1
        content = first + rest
        there = content.count(b'{"index":')
        assert f"broke off after {there} records" in words.decode()
        assert b"Traceback" not in words
        (tmp_path / "log.jsonl.partial").write_bytes(content)
        server.start()
        ctl = Ctl({"ACT_BASE_URL": server.url, "ACT_API_KEY": ADMIN_KEY}, tmp_path)
        ctl("audit", "export", "--resume", file).ok()
        assert count(file) >= 15_000


def test_the_disk_is_full(ctl: Ctl, server: Server) -> None:
    """A file may have 64 KB and no more: the archive does not fit, and nothing is removed."""
    before = ctl("audit", "export").ok().out
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
    try:
        run = ctl("audit", "archive", "--older-than", "10d")
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert run.code == 1
    assert "nothing was removed" in run.err
    assert "File too large" in run.err
    assert ctl.json("audit", "archives") == []
    assert not list(server.database.with_name("act.db.archives").rglob("*.*"))
    assert ctl("audit", "export").ok().out.startswith(before[: before.rindex('{"checkpoint"')])


# From here on the old records are in an archive.


def test_archives_are_made_and_proved_from_the_command_line(ctl: Ctl, server: Server, tmp_path: Path) -> None:
    assert ctl("audit", "archive", "--older-than", "P1M").code == 2
    assert "older" in ctl("audit", "archive").err
    checkpoint = ctl.json("audit", "checkpoint", "--save", "kept.note")
    key = checkpoint["verifierKey"]
    [made] = ctl.json("audit", "archive", "--older-than", "10d")
    assert (made["first"], made["end"]) == (0, (COUNT + made["end"] % 256) // 256 * 256)
    assert [one["sha256"] for one in ctl.json("audit", "archives")] == [made["sha256"]]
    archive = server.database.with_name("act.db.archives") / made["file"]
    export = tmp_path / "rest.jsonl"
    ctl("audit", "export", "--file", export).ok()
    assert count(export) < 300
    offline = {"ACT_BASE_URL": "http://127.0.0.1:9", "ACT_API_KEY": ""}
    whole = ctl("audit", "verify", archive, export, "--checkpoint", "kept.note", "--key", key, **offline).ok()
    assert f"{count(archive_plain(archive, tmp_path)) + count(export)} records verified." in whole.err
    assert "those before" in ctl("audit", "verify", export, "--key", key, **offline).ok().err
    gone = ctl("audit", "show", "17")
    assert (gone.code, "410" in gone.err, made["file"] in gone.err) == (1, True, True)
    told = ctl("audit", "story", "dec_unknown")
    assert told.code == 1
    assert f"records before {made['end']} are archived" in told.err
    hint = ctl("audit", "prove", "17", "--key", key)
    assert (hint.code, made["file"] in hint.err, "--file" in hint.err) == (1, True, True)
    asked = ("--checkpoint", "kept.note", "--key", key, "--file")
    proven = ctl("audit", "prove", "17", *asked, archive).ok()
    assert f"Record 17 is in the log of {checkpoint['size']} records that the checkpoint signed." in proven.err
    assert "The file has no record 17." in ctl("audit", "prove", "17", *asked, export).err
    changed = tmp_path / "changed.jsonl"
    lines = archive_plain(archive, tmp_path).read_bytes().splitlines(keepends=True)
    line = json.loads(lines[17])
    line["record"]["at"] = "2026-01-02T00:00:00.000Z"
    changed.write_bytes(b"".join((*lines[:17], json.dumps(line).encode() + b"\n", *lines[18:])))
    forged = ctl("audit", "prove", "17", *asked, changed)
    assert (forged.code, "as it is in the file, is not in the log" in forged.err) == (1, True)
    changed.write_bytes(b"{")
    assert ctl("audit", "prove", "17", *asked, changed).code == 1
    changed.write_bytes(gzip.compress(b"".join(lines))[:-9])
    assert "cut off" in ctl("audit", "prove", "17", *asked, changed).err


def archive_plain(archive: Path, folder: Path) -> Path:
    plain = folder / "archive.jsonl"
    plain.write_bytes(gzip.decompress(archive.read_bytes()))
    return plain


def test_the_retention_of_a_tenant(ctl: Ctl) -> None:
    assert ctl.json("tenants", "set", TENANT, "--audit-retention", "365d")["auditRetention"] == 365 * 86400
    assert ctl.json("tenants", "set", TENANT, "--audit-retention", "forever")["auditRetention"] is None
    refused = ctl("tenants", "set", TENANT, "--audit-retention", "1h")
    assert (refused.code, "/auditRetention" in refused.err) == (1, True)
    assert ctl("tenants", "set", TENANT, "--audit-retention", "soon").code == 2
