"""The life of the keys that sign tokens: next, active, retiring, gone (2-semantics, "Tokens").

A tenant always has one `next` key, published before it signs, and one `active` key. What an active key has signed is
still good while it is `retiring`; a `gone` key is good for nothing, and its private half is deleted.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from act import models
from act.audit.transaction import Transaction
from act.audit.writer import Writer
from act.database.clock import Clock
from act.database.keyfiles import KeyFiles
from act.database.pages import not_ours, page, read_cursor
from act.problems import conflict, not_found
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens import key_store
from act.tokens.codec import KeyStatus, VerificationKey
from act.tokens.keys import add_token_key, new_token_key
from act.tokens.live_keys import LiveKeys

SPARE_SECONDS: Final = 60
"""How much longer than its last token an old key is kept: for the clock, and for a token just being signed."""

log = logging.getLogger("act.tokens")


class KeyService:
    """Changes are made one after another, so that a key made ahead of a commit fits the keys that it finds there.

    A commit that fails can leave the file of a key that nobody knows: it signs nothing, and to delete it would be
    wrong if the commit was written all the same.
    """

    def __init__(
        self, writer: Writer, reader: Engine, clock: Clock, files: KeyFiles, tenants: LiveTenants, keys: LiveKeys
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._files = files
        self._tenants = tenants
        self._keys = keys
        self._changing = threading.Lock()

    def list(self, caller: ApiKey, limit: int, cursor: str | None) -> models.Page[models.SigningKey]:
        """All keys of the tenant, in the order in which they were made; never a private one."""
        kid = read_cursor(cursor)
        with self._reader.begin() as connection:
            after = key_store.find(connection, caller.tenant_id, kid) if kid else None
            if kid and after is None:
                raise not_ours()
            rows = key_store.page(connection, caller.tenant_id, after, limit + 1)
        return page(rows, limit, lambda row: row.kid, _answer)

    def rotate(self, caller: ApiKey, body: models.KeyRotation | None) -> models.SigningKeyRotated:
        """Sign with the next key from now on. What the old one has signed stays good for its time.

        With another algorithm than that of the next key, a key that nobody was told of before signs at once.
        """
        tenant_id = caller.tenant_id
        with self._changing:
            with self._reader.begin() as connection:
                following = key_store.of_status(connection, tenant_id, "next")
            algorithm = body.algorithm if body and body.algorithm else following.algorithm
            chosen = None if algorithm == following.algorithm else new_token_key(self._files, algorithm)
            successor = new_token_key(self._files, algorithm)

            def work(transaction: Transaction) -> tuple[Row[Any], int]:
                now = self._clock.now()
                old = key_store.of_status(transaction.connection, tenant_id, "active")
                if chosen is None:
                    _move(transaction, following, "active")
                else:
                    told = {"kid": following.kid, "keyId": caller.id}
                    told["revision"] = _move(transaction, following, "gone", retires_at=now)
                    transaction.record(tenant_id, "key.retired", told)
                    add_token_key(transaction, tenant_id, chosen, "active", now, caller.id)
                kid = following.kid if chosen is None else chosen.kid
                add_token_key(transaction, tenant_id, successor, "next", now, caller.id)
                retires_at = now + timedelta(seconds=self._tenants.get(tenant_id).max_token_ttl + SPARE_SECONDS)
                revision = _move(transaction, old, "retiring", retires_at=retires_at)
                told = {"kid": kid, "algorithm": algorithm, "previousKid": old.kid, "keyId": caller.id}
                told |= {"retiresAt": models.rfc3339(retires_at), "revision": revision}
                transaction.record(tenant_id, "key.rotated", told)
                return _row(transaction.connection, tenant_id, kid), revision

            row, revision = self._writer.write(work)
        self._delete_discarded()
        return models.SigningKeyRotated(**_answer(row).model_dump(by_alias=False), revision=revision)

    def revoke(self, caller: ApiKey, kid: str) -> models.SigningKeyRevoked:
        """Trust nothing that the key has signed, from the next request on. Revoking twice is no error.

        The next key takes over from an active one in the same commit.

        Raises:
            ProblemError: 404; 409 for the key that signs audit checkpoints.
        """
        tenant_id = caller.tenant_id
        with self._changing:
            with self._reader.begin() as connection:
                row = _row(connection, tenant_id, kid)
                following = key_store.of_status(connection, tenant_id, "next")
            if row.use != "token":
                raise conflict(
                    "audit_key", "This key signs audit checkpoints and no tokens; it cannot be revoked here."
                )
            replaced = row.status in ("active", "next")
            successor = new_token_key(self._files, following.algorithm) if replaced else None

            def work(transaction: Transaction) -> int:
                now = self._clock.now()
                told = {"kid": kid, "status": row.status, "keyId": caller.id}
                if successor is not None:
                    add_token_key(transaction, tenant_id, successor, "next", now, caller.id)
                if row.status == "active":
                    _move(transaction, following, "active")
                    told["replacedBy"] = following.kid
                told["revision"] = _move(transaction, row, "gone", retires_at=now)
                transaction.record(tenant_id, "key.revoked", told)
                return int(told["revision"])

            revision = self._writer.write(work)
        self._delete_discarded()
        return models.SigningKeyRevoked(kid=kid, revision=revision)

    def sweep(self) -> None:
        """Retire the keys whose time is over, and delete the private halves of those that are gone."""
        with self._changing:
            now = self._clock.now()
            for key in self._keys.retired(now.timestamp()):
                self._writer.write(partial(_retire, key=key))
        self._delete_discarded()

    def _delete_discarded(self) -> None:
        for kid in list(self._keys.discarded):
            try:
                self._files.delete(kid)
            except OSError:
                log.exception("the private key %s is gone and its file cannot be deleted; it will be tried again", kid)
            else:
                self._keys.discarded.discard(kid)


def _retire(transaction: Transaction, key: VerificationKey) -> None:
    row = _row(transaction.connection, key.tenant_id, key.kid)
    revision = _move(transaction, row, "gone", retires_at=row.retires_at)
    transaction.record(key.tenant_id, "key.retired", {"kid": key.kid, "revision": revision})


def _move(transaction: Transaction, row: Row[Any], status: KeyStatus, retires_at: datetime | None = None) -> int:
    """Give a key its next status; the revision of the change."""
    key_store.change(transaction.connection, row.kid, status=status, retires_at=retires_at)
    return transaction.change(row.tenant_id, "key", row.kid)


def _row(connection: Connection, tenant_id: str, kid: str) -> Row[Any]:
    row = key_store.find(connection, tenant_id, kid)
    if row is None:
        raise not_found("signing key", kid)
    return row


def _answer(row: Row[Any]) -> models.SigningKey:
    return models.SigningKey(
        kid=row.kid,
        use=row.use,
        algorithm=row.algorithm,
        status=row.status,
        created_at=row.created_at,
        retires_at=row.retires_at,
    )
