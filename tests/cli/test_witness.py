"""A witness on another machine: what it signs, and what it will not sign, against real servers with real histories."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from act.audit.notes import COSIGNATURE, Checkpoint, cosign, cosigned_at, sign, verifier_key, verify
from act.cli.witness import TRIES
from tests.support import ADMIN_KEY, Server

from .conftest import Ctl


class Scene:
    """A server whose operator can bring back an older copy of its database, and a witness."""

    def __init__(self, folder: Path) -> None:
        self._copies = folder / "copies"
        self.server = Server(folder / "server")
        (folder / "server").mkdir()
        self.server.start()
        self.folder = folder
        self.witness = folder / "witness"

    def ctl(self) -> Ctl:
        return Ctl({"ACT_BASE_URL": self.server.url, "ACT_API_KEY": ADMIN_KEY}, self.folder)

    def more(self, records: int) -> None:
        with self.server.api() as api:
            for _ in range(records):
                api.agent()

    def keep_copy(self) -> None:
        self.server.stop()
        shutil.copytree(self.server.database.parent, self._copies)
        self.server.start()

    def bring_back_copy(self) -> None:
        self.server.stop()
        shutil.rmtree(self.server.database.parent)
        shutil.copytree(self._copies, self.server.database.parent)
        self.server.start()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.server.kill()


def test_it_signs_what_grows_and_says_when(scene: Scene) -> None:
    first = scene.ctl()("audit", "witness", scene.witness).ok()
    assert "Warning: no --key" in first.err
    own = next(line for line in first.err.splitlines() if line.startswith("This witness is ")).split()[-1]
    assert "Nothing new." in scene.ctl()("audit", "witness", scene.witness).ok().err
    scene.more(5)
    again = scene.ctl()("audit", "witness", scene.witness).ok()
    assert "Warning" not in again.err
    note = (scene.witness / "latest.note").read_text()
    checkpoint = verify(note, (scene.witness / "log.key").read_text().strip())
    assert cosigned_at(note, own) > 1_700_000_000
    assert note.count("\u2014") == 2, "the log's signature and the witness's"
    assert (scene.witness / f"{checkpoint.size}.note").read_text() == note
    assert (scene.witness / "witness.key").stat().st_mode & 0o077 == 0
    # A kept note is what an export is verified against.
    export = scene.ctl()("audit", "verify", "--checkpoint", scene.witness / "latest.note").ok()
    assert "records verified" in export.err


def test_a_tail_that_is_gone_is_not_signed(scene: Scene) -> None:
    scene.keep_copy()
    scene.more(3)
    scene.ctl()("audit", "witness", scene.witness).ok()
    before = (scene.witness / "latest.note").read_text()
    scene.bring_back_copy()
    found = scene.ctl()("audit", "witness", scene.witness)
    assert found.code == 1
    assert "its tail is gone" in found.err
    assert (scene.witness / "latest.note").read_text() == before


def test_another_history_is_not_signed(scene: Scene) -> None:
    scene.keep_copy()
    scene.more(3)
    scene.ctl()("audit", "witness", scene.witness).ok()
    scene.bring_back_copy()
    scene.more(3)
    same_size = scene.ctl()("audit", "witness", scene.witness)
    assert same_size.code == 1
    assert "they are others" in same_size.err
    scene.more(4)
    larger = scene.ctl()("audit", "witness", scene.witness)
    assert larger.code == 1
    assert "are not those that it had" in larger.err


def test_another_key_or_another_note_is_not_believed(scene: Scene) -> None:
    scene.ctl()("audit", "witness", scene.witness).ok()
    key = (scene.witness / "log.key").read_text().strip()
    other = scene.ctl()("audit", "witness", scene.witness, "--key", key.replace("+", "+", 1)[:-2] + "AA")
    assert other.code == 1
    scene.more(1)
    latest = scene.witness / "latest.note"
    latest.write_text(scene.ctl().json("audit", "checkpoint")["note"])  # without the witness's own word
    assert scene.ctl()("audit", "witness", scene.witness).code == 1


class Fork:
    """Stands before a server, and answers for consistency proofs that it is overloaded; and what else it is told."""

    def __init__(self, server: Server) -> None:
        fork = self
        self.silent = True
        self.lie: dict[str, dict[str, Any]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with server.api() as api:
                    answer = api.send("GET", self.path)
                status, body = answer.status_code, answer.content
                if fork.silent and "consistency" in self.path:
                    status = 503
                    body = json.dumps({"title": "x", "status": 503, "code": "overloaded", "detail": "x"}).encode()
                for word, more in fork.lie.items():
                    body = json.dumps(json.loads(body) | more).encode() if word in self.path else body
                self.send_response(status)
                kind = "application/problem+json" if status == 503 else answer.headers["content-type"]
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *of: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def test_a_log_that_keeps_silent_is_found_and_what_it_showed_is_kept(scene: Scene) -> None:
    scene.ctl()("audit", "witness", scene.witness).ok()
    seen = (scene.witness / "latest.note").read_text()
    scene.more(2)
    with Fork(scene.server) as fork:
        found = scene.ctl()("audit", "witness", scene.witness, "--every", "0.1", ACT_BASE_URL=fork.url)
        assert (found.code, found.err.count("Trying again.")) == (1, TRIES - 1)
        assert "did not prove that they go on from what was seen" in found.err
        [evidence] = scene.witness.glob("unproven-*.note")
        assert str(evidence) in found.err
        key = (scene.witness / "log.key").read_text().strip()
        assert verify(evidence.read_text(), key).size == verify(seen, key).size + 2
        assert (scene.witness / "latest.note").read_text() == seen
        scene.more(1)
        fork.silent = False
        assert "Signed" in scene.ctl()("audit", "witness", scene.witness, ACT_BASE_URL=fork.url).ok().err
    assert not list(scene.witness.glob("unproven-*.note")), "it was proven after all"


def test_what_it_showed_and_did_not_prove_cannot_be_taken_back(scene: Scene) -> None:
    scene.ctl()("audit", "witness", scene.witness).ok()
    scene.keep_copy()
    scene.more(3)
    with Fork(scene.server) as fork:
        assert scene.ctl()("audit", "witness", scene.witness, ACT_BASE_URL=fork.url).code == 1
    scene.bring_back_copy()  # it is again what the witness has signed
    found = scene.ctl()("audit", "witness", scene.witness)
    assert (found.code, "its tail is gone" in found.err) == (1, True)
    scene.more(5)
    found = scene.ctl()("audit", "witness", scene.witness)
    assert (found.code, "are not those that it had" in found.err) == (1, True)


def test_a_wrong_key_is_not_kept(scene: Scene) -> None:
    head = scene.ctl().json("audit", "checkpoint")
    name = head["verifierKey"].split("+")[0]
    other = verifier_key(name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    for key, code in ((other, 1), ("x", 1), ("", 2), (" ", 2)):
        found = scene.ctl()("audit", "witness", scene.witness, "--key", key)
        assert (found.code, (scene.witness / "log.key").exists()) == (code, False), found.err
        assert "latest.note" not in found.err
    scene.ctl()("audit", "witness", scene.witness, "--key", head["verifierKey"]).ok()
    assert (scene.witness / "log.key").read_text().strip() == head["verifierKey"]


def test_a_url_is_no_folder_and_no_file(scene: Scene) -> None:
    for command in ("witness", "verify"):
        found = scene.ctl()("audit", command, scene.server.url)
        assert (found.code, f"--url {scene.server.url}" in found.err) == (2, True)
    assert not (scene.folder / "http:").exists()


def test_nothing_is_said_to_be_proven_that_was_only_said(scene: Scene) -> None:
    real = scene.ctl().json("audit", "show", 1)
    with Fork(scene.server) as fork:
        fork.lie["inclusion"] = {"leafHash": "00" * 32, "index": 4711, "size": 4711, "rootHash": "00" * 32}
        proven = scene.ctl().json("audit", "prove", 1, ACT_BASE_URL=fork.url)
        assert (proven["index"], proven["leafHash"]) == (1, real["leafHash"])
        assert proven["size"] < 4711
        fork.lie = {"checkpoint": {"size": 999_999, "rootHash": "11" * 32}}
        for command in (("checkpoint", "--save", "lie.note"), ("key",)):
            found = scene.ctl()("audit", *command, ACT_BASE_URL=fork.url)
            assert (found.code, found.out) == (1, "")
            assert "The server contradicts itself" in found.err
        assert not (scene.folder / "lie.note").exists()


def test_arguments_are_proven_with_their_record(scene: Scene, tmp_path: Path) -> None:
    with scene.server.api() as api:
        api.policy(["run"])
        index = api.enforce(api.token(api.agent()), "run", "x", arguments={"n": 1})["audit"]["index"]
    ctl, file = scene.ctl(), tmp_path / "log.jsonl"
    ctl("audit", "export", "--file", file).ok()
    for source in ((), ("--file", file)):
        proven = ctl("audit", "prove", index, *source, "-o", "json").ok()
        assert proven.json()["arguments"] is True
        assert "The arguments beside it are those" in proven.err
    text = file.read_text()
    assert text.count('"arguments":{"n":1}') == 1
    file.write_text(text.replace('"arguments":{"n":1}', '"arguments":{"n":2}'))
    with closing(sqlite3.connect(scene.server.database)) as connection:
        connection.execute("UPDATE audit_records SET arguments = ? WHERE idx = ?", ('{"n":2}', index))
        connection.commit()
    for source in ((), ("--file", file)):
        found = ctl("audit", "prove", index, *source)
        assert (found.code, found.out) == (1, "")
        assert "its arguments, as" in found.err
    # And taken away altogether: the record is as it was, and `verify` says that nobody erased it.
    with closing(sqlite3.connect(scene.server.database)) as connection:
        connection.execute("UPDATE audit_records SET arguments = NULL, salt = NULL WHERE idx = ?", (index,))
        connection.commit()
    assert "are gone" in ctl("audit", "prove", index).ok().err
    for where in ((), ("--database", scene.server.database)):
        found = ctl("audit", "verify", *where)
        assert found.code == 1
        assert f"The arguments of record {index} are gone" in found.out + found.err


def test_a_database_is_held_against_the_key(scene: Scene) -> None:
    ctl, database = scene.ctl(), ("--database", scene.server.database)
    head = ctl.json("audit", "checkpoint", "--save", "kept.note")
    own = Ed25519PrivateKey.generate()
    origin = head["verifierKey"].split("+")[0]
    (scene.folder / "other.note").write_text(sign(Checkpoint("urn:other/audit/t", 10_000, bytes(32)), own))
    public = own.public_key().public_bytes_raw()
    ctl("audit", "verify", *database, "--key", head["verifierKey"], "--checkpoint", "kept.note").ok()
    for key in (verifier_key(origin, public), verifier_key("urn:other/audit/t", public)):
        found = ctl("audit", "verify", *database, "--key", key)
        assert (found.code, "is the key of another log" in found.err) == (1, True)
    found = ctl("audit", "verify", *database, "--key", key, "--checkpoint", "other.note")
    assert (found.code, "is the key of another log" in found.err) == (1, True)
    assert ctl("audit", "verify", *database, "--key", "").code == 2
    assert "is no key of a log" in ctl("audit", "verify", *database, "--key", "x").err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"x" * 5000, b"a\n" + b"9" * 5000 + b"\nb\n\n"], ids=len)
def test_what_is_no_note_is_said_in_words(scene: Scene, content: bytes) -> None:
    (scene.folder / "odd.note").write_bytes(content)
    found = scene.ctl()("audit", "verify", "--checkpoint", "odd.note")
    assert found.code == 1
    assert any(words in found.err for words in ("is no signed note", "Not a signed checkpoint: It"))
    assert len(found.err) < 700


def test_what_was_shown_is_kept_as_evidence(scene: Scene) -> None:
    """Two notes by one key that contradict each other are what convicts a log."""
    scene.keep_copy()
    scene.more(3)
    scene.ctl()("audit", "witness", scene.witness).ok()
    scene.bring_back_copy()
    scene.more(9)
    assert scene.ctl()("audit", "witness", scene.witness).code == 1
    [evidence] = scene.witness.glob("refused-*.note")
    key = (scene.witness / "log.key").read_text().strip()
    shown, seen = (verify(path.read_text(), key) for path in (evidence, scene.witness / "latest.note"))
    assert shown.origin == seen.origin
    assert shown.size > seen.size
    assert evidence.read_text().count("\u2014") == 1, "the witness has not signed it"


@pytest.mark.parametrize("how", ["removed", "put back"])
def test_it_does_not_forget_when_the_latest_note_does(scene: Scene, how: str) -> None:
    scene.ctl()("audit", "witness", scene.witness).ok()
    latest = scene.witness / "latest.note"
    first = latest.read_bytes()
    scene.keep_copy()
    scene.more(3)
    scene.ctl()("audit", "witness", scene.witness).ok()
    latest.unlink()
    if how == "put back":
        latest.write_bytes(first)
    scene.bring_back_copy()
    scene.more(9)
    found = scene.ctl()("audit", "witness", scene.witness)
    assert found.code == 1
    assert "are not those that it had" in found.err


def test_others_neither_read_its_key_nor_write_in_its_folder(scene: Scene) -> None:
    scene.ctl()("audit", "witness", scene.witness).ok()
    assert scene.witness.stat().st_mode & 0o077 == 0
    scene.more(1)
    (scene.witness / "witness.key").chmod(0o640)
    found = scene.ctl()("audit", "witness", scene.witness)
    assert found.code == 1
    assert "can be read by others" in found.err
    (scene.witness / "witness.key").chmod(0o600)
    scene.witness.chmod(0o777)
    found = scene.ctl()("audit", "witness", scene.witness)
    assert found.code == 1
    assert "Others can write" in found.err
    assert len(list(scene.witness.glob("[0-9]*.note"))) == 1


def test_a_note_without_an_end_of_line_is_signed_on_a_line_of_its_own() -> None:
    log, own = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    note = sign(Checkpoint("log", 3, b"r" * 32), log).rstrip("\n")
    cosigned = cosign(note, "w", own, 7)
    assert verify(cosigned, verifier_key("log", log.public_key().public_bytes_raw())).size == 3
    assert cosigned_at(cosigned, verifier_key("w", own.public_key().public_bytes_raw(), COSIGNATURE)) == 7


def test_one_record_is_proven_to_be_in_what_was_kept(scene: Scene, tmp_path: Path) -> None:
    scene.more(4)
    scene.ctl()("audit", "checkpoint", "--save", "kept.note").ok()
    key = scene.ctl().json("audit", "checkpoint")["verifierKey"]
    scene.more(4)
    kept = ("--checkpoint", scene.folder / "kept.note", "--key", key)
    found = scene.ctl()("audit", "prove", 2, *kept).ok()
    assert "Record 2 is in the log" in found.err
    assert "Warning" not in found.err
    beyond = scene.ctl()("audit", "prove", 10_000, *kept)
    assert beyond.code == 1
    assert "there is no record" in beyond.err
    assert "Warning" in scene.ctl()("audit", "prove", 2).ok().err


def test_a_record_of_another_history_is_not_proven(scene: Scene) -> None:
    scene.keep_copy()
    scene.more(3)
    scene.ctl()("audit", "checkpoint", "--save", "kept.note").ok()
    head = scene.ctl().json("audit", "checkpoint")
    scene.bring_back_copy()
    scene.more(6)
    kept = ("--checkpoint", scene.folder / "kept.note", "--key", head["verifierKey"])
    found = scene.ctl()("audit", "prove", head["size"] - 1, *kept)
    assert found.code == 1
    assert "is not in the log that the checkpoint signed" in found.err
