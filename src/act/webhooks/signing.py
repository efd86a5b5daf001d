"""Signing secrets as files beside the private keys: mode 0600, encrypted with the master key if there is one."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Iterable

from act.database.ids import new_id
from act.database.keyfiles import KeyFiles, KeysUnusable
from act.webhooks.webhook import Secret

PREFIX = "whsec_"
BYTES = 32

_BEGIN, _END = "-----BEGIN ACT WEBHOOK SECRET-----", "-----END ACT WEBHOOK SECRET-----"

log = logging.getLogger("act.webhooks")


class SigningSecrets:
    """A secret is `whsec_` and base64 (Standard Webhooks), and is in its file and nowhere else."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files

    def make(self) -> tuple[str, str]:
        """A new secret in a file of its own: the id of the file, and the secret."""
        id, secret = new_id("whs"), base64.b64encode(secrets.token_bytes(BYTES)).decode()
        self._files.write(id, f"{_BEGIN}\n{secret}\n{_END}\n".encode())
        return id, PREFIX + secret

    def read(self, id: str) -> str:
        """A secret.

        Raises:
            KeysUnusable: its file is missing, changed, or encrypted with another master key.
            PermissionError: others than the owner can read the file.
        """
        lines = self._files.read(id).decode("ascii", "replace").split("\n")
        if len(lines) != 4 or (lines[0], lines[2]) != (_BEGIN, _END):
            raise KeysUnusable(f"The file of the webhook secret {id} holds none; rotate the secret of the webhook.")
        return PREFIX + lines[1]

    def delete(self, gone: Iterable[Secret]) -> None:
        """Remove files that no webhook names any more. One that cannot be removed signs nothing, and is logged."""
        for secret in gone:
            try:
                self._files.delete(secret.id)
            except OSError:
                log.exception(
                    "the file of the webhook secret %s is not needed any more and cannot be deleted", secret.id
                )
