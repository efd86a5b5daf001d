"""`actctl keys`: the keys that sign tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from act.cli.command import Group, confirm, yes_option
from act.cli.connection import connected
from act.cli.output import Column, print_list, print_one

if TYPE_CHECKING:
    from act.models import SigningAlgorithm, SigningKey, SigningKeyRotated

ALGORITHMS = ("RS256", "EdDSA", "ES256")

_COLUMNS: list[Column[SigningKey]] = [
    ("kid", lambda key: key.kid),
    ("use", lambda key: key.use),
    ("algorithm", lambda key: key.algorithm),
    ("status", lambda key: key.status),
    ("created", lambda key: key.created_at),
    ("retires", lambda key: key.retires_at),
]
_ROTATED: list[Column[SigningKeyRotated]] = [
    ("kid", lambda key: key.kid),
    ("algorithm", lambda key: key.algorithm),
    ("status", lambda key: key.status),
    ("revision", lambda key: key.revision),
]


@click.group(cls=Group)
def keys() -> None:
    """The keys that sign tokens.

    A tenant has one active key, which signs, and one next key, which is published and signs after a rotation.
    These commands need a key with the scope admin; the keys that callers have are in api-keys.
    """


@keys.command("list")
def list_keys() -> None:
    """All signing keys, without their private halves."""
    with connected() as act:
        print_list(act.keys.list(), _COLUMNS, nothing="No signing keys.")


@keys.command()
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="Sign with this one.  [default: the next key's]")
def rotate(algorithm: SigningAlgorithm | None) -> None:
    """Sign with the next key from now on.

    Tokens signed before stay good until they expire; no request is refused.
    """
    with connected() as act:
        print_one(act.keys.rotate(algorithm), _ROTATED)


@keys.command()
@click.argument("kid")
@yes_option
def revoke(kid: str, yes: bool) -> None:
    """Trust nothing that a key has signed, from the next request on.

    For a key that others may know. Every token it has signed is denied. The next key takes over from an active one.
    """
    confirm(f"Revoke the signing key {kid} and with it every token that it has signed?", yes)
    with connected() as act:
        revoked = act.keys.revoke(kid)
    print_one(revoked, [("kid", lambda answer: answer.kid), ("revision", lambda answer: answer.revision)])
