"""Private keys at rest: with a master key they are encrypted, and what cannot be read is said in a sentence."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from act.database.keyfiles import KeyFiles, KeysUnusable

MASTER = "m" * 32
OTHER = "o" * 32
PEM = RSAKey.generate_key(2048).as_pem(private=True)
BEGIN, END = "-----BEGIN ACT ENCRYPTED PRIVATE KEY-----", "-----END ACT ENCRYPTED PRIVATE KEY-----"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "act.db.keys"


def blob_of(path: Path) -> bytearray:
    first, *lines, last = path.read_text().strip().split("\n")
    assert (first, last) == (BEGIN, END)
    return bytearray(base64.b64decode("".join(lines), validate=True))


def put(path: Path, blob: bytes) -> None:
    path.write_text(f"{BEGIN}\n{base64.b64encode(blob).decode()}\n{END}\n")


def test_without_a_master_key_a_file_is_the_pem(folder: Path) -> None:
    KeyFiles(folder).write("k1", PEM)
    assert (folder / "k1.pem").read_bytes() == PEM
    assert KeyFiles(folder).read("k1") == PEM


def test_with_a_master_key_nothing_of_it_can_be_read(folder: Path) -> None:
    files = KeyFiles(folder, MASTER)
    files.write("k1", PEM)
    files.write("k2", PEM)
    stored = (folder / "k1.pem").read_bytes()
    assert b"BEGIN PRIVATE KEY" not in stored
    assert base64.b64decode(b"".join(PEM.split(b"\n")[1:-2])) not in blob_of(folder / "k1.pem")
    assert stored != (folder / "k2.pem").read_bytes()  # another nonce
    assert (folder / "k1.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["k1.pem", "k2.pem"]
    assert KeyFiles(folder, MASTER).read("k1") == KeyFiles(folder, MASTER).read("k2") == PEM


def test_the_master_key_is_missing(folder: Path) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    with pytest.raises(KeysUnusable, match="is encrypted; set ACT_MASTER_KEY"):
        KeyFiles(folder).read("k1")


def test_another_master_key(folder: Path) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    for wrong in (OTHER, MASTER + " ", MASTER[:-1]):
        with pytest.raises(KeysUnusable, match="another master key") as raised:
            KeyFiles(folder, wrong).read("k1")
        assert wrong not in str(raised.value)


def test_no_byte_of_a_file_can_be_changed(folder: Path) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    path = folder / "k1.pem"
    whole = blob_of(path)
    files = KeyFiles(folder, MASTER)
    for at in (0, 17, 24, 25, 36, 37, len(whole) // 2, len(whole) - 17, len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 1
        put(path, changed)
        with pytest.raises(KeysUnusable, match=r"was changed or is damaged|another master key"):
            files.read("k1")
    put(path, whole)
    assert files.read("k1") == PEM


def test_a_changed_body_is_told_from_a_wrong_master_key(folder: Path) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    blob = blob_of(folder / "k1.pem")
    blob[-1] ^= 1
    put(folder / "k1.pem", blob)
    with pytest.raises(KeysUnusable, match="was changed or is damaged"):
        KeyFiles(folder, MASTER).read("k1")


@pytest.mark.parametrize("cut", [0, 1, 36, 37, 52, -1])
def test_a_file_that_is_cut_off(folder: Path, cut: int) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    put(folder / "k1.pem", bytes(blob_of(folder / "k1.pem")[:cut]))
    with pytest.raises(KeysUnusable, match="was changed or is damaged"):
        KeyFiles(folder, MASTER).read("k1")


@pytest.mark.parametrize(
    "text", [BEGIN, f"{BEGIN}\n", f"{BEGIN}\n{END}", f"{BEGIN}\n!!!!\n{END}\n", f"{BEGIN}\nAQ==\n"]
)
def test_a_file_that_is_no_longer_one(folder: Path, text: str) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    (folder / "k1.pem").write_text(text)
    with pytest.raises(KeysUnusable, match="was changed or is damaged"):
        KeyFiles(folder, MASTER).read("k1")


def test_one_file_cannot_stand_in_for_another(folder: Path) -> None:
    files = KeyFiles(folder, MASTER)
    files.write("k1", PEM)
    files.write("k2", RSAKey.generate_key(2048).as_pem(private=True))
    shutil.copy(folder / "k2.pem", folder / "k1.pem")
    with pytest.raises(KeysUnusable, match="was changed or is damaged"):
        KeyFiles(folder, MASTER).read("k1")


def test_plain_files_are_encrypted_once(folder: Path) -> None:
    for kid in ("k1", "k2"):
        KeyFiles(folder).write(kid, PEM)
    (folder / "embedded-api-key").write_text("not a key file")
    files = KeyFiles(folder, MASTER)
    assert files.encrypt_plain() == ["k1", "k2"]
    assert files.encrypt_plain() == []
    assert [files.read(kid) for kid in ("k1", "k2")] == [PEM, PEM]
    assert (folder / "k1.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["embedded-api-key", "k1.pem", "k2.pem"]
    with pytest.raises(KeysUnusable, match="ACT_MASTER_KEY"):
        KeyFiles(folder).read("k1")


def test_half_of_the_files_encrypted_when_the_process_was_killed(folder: Path) -> None:
    KeyFiles(folder, MASTER).write("k1", PEM)
    KeyFiles(folder).write("k2", PEM)
    (folder / ".k2.new").write_bytes(b"half of somethi")
    files = KeyFiles(folder, MASTER)
    assert files.encrypt_plain() == ["k2"]
    assert files.read("k1") == files.read("k2") == PEM


def test_without_a_master_key_nothing_is_rewritten(folder: Path) -> None:
    assert KeyFiles(folder, MASTER).encrypt_plain() == []
    KeyFiles(folder).write("k1", PEM)
    assert KeyFiles(folder).encrypt_plain() == []
    assert (folder / "k1.pem").read_bytes() == PEM


def test_files_that_others_can_read_are_not_used(folder: Path) -> None:
    KeyFiles(folder).write("k1", PEM)
    (folder / "k1.pem").chmod(0o640)
    for files in (KeyFiles(folder), KeyFiles(folder, MASTER)):
        with pytest.raises(PermissionError, match="chmod 600"):
            files.read("k1")
    with pytest.raises(PermissionError, match="chmod 600"):
        KeyFiles(folder, MASTER).encrypt_plain()


def test_a_key_is_written_once_and_can_be_deleted(folder: Path) -> None:
    files = KeyFiles(folder, MASTER)
    files.delete("k1")
    files.write("k1", PEM)
    with pytest.raises(FileExistsError):
        files.write("k1", PEM)
    assert files.read("k1") == PEM
    files.delete("k1")
    files.delete("k1")
    assert not files.any()
    with pytest.raises(KeysUnusable, match="is missing; put it back"):
        files.read("k1")


@pytest.mark.parametrize("kid", ["", "../k", "a/b", "k.pem", "k\0", "k" * 129])
def test_names_that_are_no_key_ids(folder: Path, kid: str) -> None:
    for call in (KeyFiles(folder).read, KeyFiles(folder).delete):
        with pytest.raises(ValueError, match="is not a key id"):
            call(kid)
