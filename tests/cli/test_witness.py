"""A witness on another machine: what it signs, and what it will not sign, against real servers with real histories."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from act.audit.notes import COSIGNATURE, Checkpoint, cosign, cosigned_at, sign, verifier_key, verify
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
