"""`actctl tokens`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from act.cli.command import Group, OfflineCommand, confirm, yes_option
from act.cli.connection import agent_id, connected
from act.cli.durations import Duration
from act.cli.files import SECRET, new_file
from act.cli.output import Column, print_list, print_one, say, warn
from act.cli.proof_keys import bind_options, given_cnf, new_pem, proof_key_option, read_key
from act.cli.scopes import given_facts, given_scope, narrowing_options, shown_token, token_option
from act.cli.secrets import issue as issue_secret

if TYPE_CHECKING:
    from act.models import Introspection, IssuedToken, Token

_SHORT: list[Column[Token]] = [
    ("id", lambda token: token.id),
    ("agent id", lambda token: token.agent_id),
    ("status", lambda token: token.status),
    ("issued", lambda token: token.issued_at),
    ("expires", lambda token: token.expires_at),
    ("revoked", lambda token: token.revoked_at),
]
_LONG: list[Column[Token]] = [
    *_SHORT,
    ("superseded", lambda token: token.superseded_at),
    ("handed down", lambda token: token.parent is not None),
    ("scope", lambda token: parts(token.scope)),
    ("policies", lambda token: token.policy_ids),
    ("grants", lambda token: token.grants),
    ("task", lambda token: token.task),
    ("on behalf of", lambda token: token.on_behalf_of),
    ("bound to a key", lambda token: token.bound_to_key),
]
ISSUED: list[Column[IssuedToken]] = [
    ("token id", lambda token: token.token_id),
    ("agent id", lambda token: token.agent_id),
    ("expires", lambda token: token.expires_at),
]
_INTROSPECTED: list[Column[Introspection]] = [
    ("active", lambda answer: answer.active),
    ("token id", lambda answer: answer.jti),
    ("agent id", lambda answer: answer.client_id),
    ("on behalf of", lambda answer: answer.sub if answer.sub != answer.client_id else None),
    ("tenant", lambda answer: answer.tid),
    ("expires", lambda answer: _moment(answer.exp)),
    ("type", lambda answer: answer.token_type),
    ("handed down by", lambda answer: answer.act),
    ("scope", lambda answer: parts(answer.authorization_details)),
    ("task", lambda answer: answer.task),
]


def parts(scope: list[dict[str, Any]] | None) -> list[str]:
    """A scope as people write it."""
    return [f"{','.join(part['actions'])}:{','.join(part['resources'])}" for part in scope or ()]


def _moment(seconds: int | None) -> Any:
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@click.group(cls=Group)
def tokens() -> None:
    """What agents show when they ask.

    AGENT is an id or a name.
    """


@tokens.command()
@click.argument("agent")
@click.option("--expires-in", type=Duration(), help="For example 15m or 1h.  [default: the tenant's]")
@click.option("--renew-for", type=Duration(), help="How long its holder may renew it.")
@narrowing_options
@click.option("--policy", "policies", metavar="ID", multiple=True, help="Only what one of these policies allows.")
@click.option("--on-behalf-of", metavar="USER", help="The user for whom the agent acts.")
@bind_options
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the token there, mode 0600.")
def issue(
    agent: str,
    expires_in: int | None,
    renew_for: int | None,
    scopes: tuple[str, ...],
    scope_file: str | None,
    task: str | None,
    facts_file: str | None,
    policies: tuple[str, ...],
    on_behalf_of: str | None,
    bind: Path | None,
    bind_to: str | None,
    save: Path | None,
) -> None:
    """Issue a token to an agent. It is shown now and never again.

    \b
    Examples:
      export ACT_TOKEN=$(actctl tokens issue "Planner Agent" --expires-in 1h)
      actctl tokens issue mailer --scope 'send:mail://*' --task ticket-7 --facts facts.yaml --save mailer.token
    """
    scope, facts = given_scope(scopes, scope_file), given_facts(facts_file)
    cnf = given_cnf(bind, bind_to)
    with connected() as act:
        id = agent_id(act, agent)
        made = issue_secret(
            lambda: act.tokens.issue(
                id,
                expires_in=expires_in,
                renew_for=renew_for,
                policy_ids=policies or None,
                scope=scope,
                task=task,
                facts=facts,
                on_behalf_of=on_behalf_of,
                cnf=cnf,
            ),
            "token",
            ISSUED,
            save,
        )
    for warning in made.warnings:
        warn(f"{warning.message} ({warning.code})")


@tokens.command("new-key", cls=OfflineCommand)
@click.argument("file", type=click.Path(path_type=Path))
def new_key(file: Path) -> None:
    """Make a key that tokens can be bound to, in FILE, mode 0600.

    Its public half is printed as a JWK, for --bind-to on another machine: the key need not leave the one where the
    token is used.

    \b
    Example:
      actctl tokens new-key mailer.key > mailer.jwk
      actctl tokens issue mailer --bind mailer.key --save mailer.token
      actctl enforce send mail://ann --token-file mailer.token --proof-key mailer.key
    """
    if file.exists():
        raise click.ClickException(f"{file} is there already, and tokens may be bound to it; name another file.")
    pem = new_pem()
    with new_file(file, SECRET) as opened:
        opened.write(pem)
    click.echo(json.dumps(read_key(file).public_jwk))
    say(f"The private key is in {file}; it is kept nowhere else.")


@tokens.command("list")
@click.option("--agent", help="Only those of this agent.")
def list_tokens(agent: str | None) -> None:
    """All tokens, without their strings."""
    with connected() as act:
        id = agent_id(act, agent, must_exist=False) if agent else None
        print_list(act.tokens.list(id), _SHORT, nothing="No tokens.")


@tokens.command()
@click.argument("id")
def show(id: str) -> None:
    """One token, without its string."""
    with connected() as act:
        found = act.tokens.get(id)
    print_one(found, _LONG)


@tokens.command()
@click.argument("id")
@click.option("--expires-in", type=Duration(), help="For example 15m.  [default: as long as the old one]")
@click.option("--grace", type=Duration(), help="How long the old one stays good.  [default: 30s]")
@click.option("--token-file", type=click.File("rb"), help="The token itself, for a key with the scope enforce alone.")
@proof_key_option
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the token there, mode 0600.")
def rotate(
    id: str,
    expires_in: int | None,
    grace: int | None,
    token_file: IO[bytes] | None,
    proof_key: Path | None,
    save: Path | None,
) -> None:
    """Issue a new token in the place of an old one. It is shown now and never again.

    Whoever uses the old one after the grace is taken for a thief: both are revoked, and all that was handed down.
    """
    if proof_key is not None and token_file is None:
        raise click.UsageError("--proof-key proves that a token is in the right hands; name it with --token-file.")
    token = None if token_file is None else shown_token(token_file)
    key = None if proof_key is None else read_key(proof_key)
    with connected() as act:
        issue_secret(
            lambda: act.tokens.rotate(id, expires_in=expires_in, grace=grace, token=token, key=key),
            "token",
            ISSUED,
            save,
        )


@tokens.command()
@token_option
def introspect(token_file: IO[bytes]) -> None:
    """What a token is that somebody has shown. It is read from stdin.

    \b
    Example:
      actctl tokens introspect < found.token
    """
    token = shown_token(token_file)
    with connected() as act:
        print_one(act.tokens.introspect(token), _INTROSPECTED)


@tokens.command()
@click.argument("id")
@yes_option
def revoke(id: str, yes: bool) -> None:
    """Revoke a token, effective on the next request.

    What was rotated from it and all that was handed down ends with it; the answer says how many tokens that were.
    """
    with connected() as act:
        found = act.tokens.get(id)
        confirm(f"Revoke the token {found.id} of agent {found.agent_id} ({found.status})?", yes)
        revoked = act.tokens.revoke(found.id)
    print_one(
        revoked,
        [
            ("token id", lambda answer: answer.token_id),
            ("revoked", lambda answer: answer.revoked),
            ("handed down", lambda answer: answer.delegated),
            ("revision", lambda answer: answer.revision),
        ],
    )
