"""The key that a token is bound to, as a file: made by `tokens new-key`, used by `--proof-key` and `--bind`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from act.cli.scopes import read_object

if TYPE_CHECKING:
    from act.client.proof import ProofKey

_FILE: Final = click.Path(path_type=Path)


def proof_key_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--proof-key`; `read_key` reads it."""
    return click.option(
        "--proof-key", type=_FILE, metavar="FILE", help="The key that the token is bound to, of `tokens new-key`."
    )(command)


def bind_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--bind` and `--bind-to`; `given_cnf` reads them."""
    command = click.option("--bind-to", metavar="FILE", help="The same, by the public JWK of the key.")(command)
    return click.option(
        "--bind", type=_FILE, metavar="FILE", help="Only who has this key, of `tokens new-key`, can use the token."
    )(command)


def given_cnf(bind: Path | None, bind_to: str | None) -> dict[str, Any] | None:
    """The public JWK that a token is to be bound to; None when it is to be bound to none."""
    if bind is not None and bind_to is not None:
        raise click.UsageError("Give --bind or --bind-to, not both.")
    if bind is not None:
        return dict(read_key(bind).public_jwk)
    return None if bind_to is None else read_object(bind_to, "a public JWK")


def read_key(file: Path) -> ProofKey:
    """The key in a file that its owner alone can read.

    Raises:
        click.ClickException: says what is wrong with the file, and shows nothing of it.
    """
    from act.client.proof import ProofKey

    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                raise click.ClickException(f"The key {file} can be read by others; run: chmod 600 {file}")
            return ProofKey.from_pem(opened.read())
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from None
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.ClickException(f"{file}: {error} Make one with `actctl tokens new-key`.") from None


def new_pem() -> bytes:
    """A new private key: Ed25519, PKCS #8, not encrypted (RFC 8410).

    Raises:
        click.ClickException: the extra `proof` is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        extra = "pip install 'agent-capability-tokens[proof]'"
        raise click.ClickException(f"A key for bound tokens needs cryptography ({error}); {extra}.") from None
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
