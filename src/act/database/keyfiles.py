"""Private keys as files beside the database: a folder of mode 0700, one PEM file of mode 0600 a key.

With a master key the files are encrypted: a PEM of a label of our own (RFC 7468) around the bytes

    version (1 byte, 1) | salt (16) | check (8) | nonce (12) | AES-256-GCM ciphertext

Key and check are the 40 bytes of scrypt (N 2^15, r 8, p 1) over the master key and the salt. The check tells a wrong
master key from a file that was changed. The associated data are everything before the ciphertext and the key id, so
that no file can stand in for another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from act.database.engine import DatabaseUnusable

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LABEL: Final = "ACT ENCRYPTED PRIVATE KEY"
_BEGIN: Final = f"-----BEGIN {_LABEL}-----".encode()
_END: Final = f"-----END {_LABEL}-----".encode()
_VERSION: Final = b"\x01"
_SALT, _CHECK, _NONCE, _KEY = 16, 8, 12, 32
_HEAD: Final = 1 + _SALT + _CHECK + _NONCE


class KeysUnusable(DatabaseUnusable):
    """The private keys cannot be used; the message says what to do."""


class KeyFiles:
    """Private key storage. A key is written once, completely or not at all, and never changed.

    Args:
        master_key: what the files are encrypted with; None leaves them as they are, and cannot read encrypted ones.
    """

    def __init__(self, folder: Path, master_key: str | None = None) -> None:
        self._folder = folder
        self._master_key = master_key
        self._derived: dict[bytes, tuple[AESGCM, bytes]] = {}
        self._salt = b""

    def _path(self, kid: str) -> Path:
        if not _NAME.fullmatch(kid):
            raise ValueError(f"{kid!r} is not a key id.")
        return self._folder / f"{kid}.pem"

    def any(self) -> bool:
        """Whether there is a private key at all."""
        return self._folder.is_dir() and next(self._folder.glob("*.pem"), None) is not None

    def write(self, kid: str, pem: bytes) -> None:
        """Store a new key durably.

        Raises:
            FileExistsError: a key of this id is there already.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(kid)
        unfinished = self._unfinished(kid, pem if self._master_key is None else self._encrypt(kid, pem))
        try:
            os.link(unfinished, path)
        finally:
            unfinished.unlink()
        self._sync()

    def read(self, kid: str) -> bytes:
        """The PEM of a key.

        Raises:
            KeysUnusable: there is none of this id, it is encrypted and cannot be decrypted, or it was changed.
            PermissionError: others than the owner can read it.
        """
        path = self._path(kid)
        try:
            if path.stat().st_mode & 0o077:
                raise PermissionError(f"The private key {path} can be read by others; run: chmod 600 {path}")
            stored = path.read_bytes()
        except FileNotFoundError:
            raise _missing(path) from None
        return self._decrypt(kid, stored) if stored.startswith(_BEGIN) else stored

    def require(self, kids: Iterable[str]) -> None:
        """Look whether all these keys can be read.

        Raises:
            as `read`.
        """
        for kid in kids:
            self.read(kid)

    def delete(self, kid: str) -> None:
        """Remove a key for ever; one that is not there is no error."""
        try:
            self._path(kid).with_name(f".{kid}.new").unlink(missing_ok=True)  # of a process that was killed
            self._path(kid).unlink()
        except FileNotFoundError:
            return
        self._sync()

    def encrypt_plain(self) -> list[str]:
        """With a master key, encrypt every key that is not; the ids of those that were.

        Each file is replaced as a whole: at every moment there is the old one or the new one.
        """
        if self._master_key is None or not self._folder.is_dir():
            return []
        plain = [path for path in sorted(self._folder.glob("*.pem")) if not path.read_bytes().startswith(_BEGIN)]
        for path in plain:
            encrypted = self._encrypt(path.stem, self.read(path.stem))
            self._unfinished(path.stem, encrypted).replace(path)
        if plain:
            self._sync()
        return [path.stem for path in plain]

    def _unfinished(self, kid: str, content: bytes) -> Path:
        """A file of this content, on disk, under a name that nobody reads."""
        unfinished = self._folder / f".{kid}.new"
        unfinished.unlink(missing_ok=True)  # of a process that was killed
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return unfinished

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _encrypt(self, kid: str, pem: bytes) -> bytes:
        self._salt = self._salt or secrets.token_bytes(_SALT)  # one a process: deriving is slow on purpose
        cipher, check = self._derive(self._salt)
        nonce = secrets.token_bytes(_NONCE)
        head = _VERSION + self._salt + check + nonce
        body = base64.b64encode(head + cipher.encrypt(nonce, pem, _associated(head, kid)))
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return b"\n".join([_BEGIN, *lines, _END, b""])

    def _decrypt(self, kid: str, stored: bytes) -> bytes:
        path = self._path(kid)
        if self._master_key is None:
            raise KeysUnusable(
                f"The private key {path} is encrypted; set ACT_MASTER_KEY to the master key it was encrypted with."
            )
        lines = stored.strip().split(b"\n")
        try:
            blob = base64.b64decode(b"".join(lines[1:-1]), validate=True)
        except binascii.Error:
            blob = b""
        if lines[0] != _BEGIN or lines[-1] != _END or len(blob) <= _HEAD or blob[:1] != _VERSION:
            raise _changed(path)
        head, sealed = blob[:_HEAD], blob[_HEAD:]
        salt, check, nonce = head[1 : 1 + _SALT], head[1 + _SALT : -_NONCE], head[-_NONCE:]
        cipher, expected = self._derive(salt)
        if not hmac.compare_digest(check, expected):
            raise KeysUnusable(
                f"The private key {path} was encrypted with another master key than the one in ACT_MASTER_KEY, "
                "or its head was changed. Set ACT_MASTER_KEY to that one."
            )
        try:
            pem = cipher.decrypt(nonce, sealed, _associated(head, kid))
        except InvalidTag:
            raise _changed(path) from None
        self._salt = self._salt or salt
        return pem

    def _derive(self, salt: bytes) -> tuple[AESGCM, bytes]:
        if salt not in self._derived:
            assert self._master_key is not None
            made = Scrypt(salt=salt, length=_KEY + _CHECK, n=2**15, r=8, p=1).derive(self._master_key.encode())
            self._derived[salt] = AESGCM(made[:_KEY]), made[_KEY:]
        return self._derived[salt]


def _associated(head: bytes, kid: str) -> bytes:
    return head + kid.encode()


def _missing(path: Path) -> KeysUnusable:
    return KeysUnusable(f"The private key {path} is missing; put it back from the copy that belongs to this database.")


def _changed(path: Path) -> KeysUnusable:
    return KeysUnusable(f"The private key {path} was changed or is damaged; put it back from a copy.")
