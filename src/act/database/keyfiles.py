"""Private keys as files beside the database: a folder of mode 0700, one PEM file of mode 0600 a key."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class KeyFiles:
    """Private key storage. A key is written once, completely or not at all, and never changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
        path, unfinished = self._path(kid), self._folder / f".{kid}.new"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
        unfinished.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, kid: str) -> bytes:
        """The PEM of a key.

        Raises:
            FileNotFoundError: there is none of this id.
            PermissionError: others than the owner can read it.
        """
        path = self._path(kid)
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"The private key {path} can be read by others; run: chmod 600 {path}")
        return path.read_bytes()
