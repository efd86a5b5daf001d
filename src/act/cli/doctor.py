"""`actctl doctor`: what stands between this machine and a decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from act.cli.command import Command, given_key, given_url, wants_json
from act.cli.connection import SECONDS
from act.cli.output import print_json, print_list, say

if TYPE_CHECKING:
    import httpx2

    from act.client.transport import SyncTransport

SKEW: Final = 30.0
"""Seconds by which a token's times may be off (2-semantics, "Tokens")."""


@dataclass(frozen=True, slots=True)
class Check:
    check: str
    status: Literal["ok", "warning", "wrong"]
    detail: str


@click.command(cls=Command)
@click.option("--deep", is_flag=True, help="Look at the database on this machine instead: pages, logs, keys.")
@click.option("--database", metavar="FILE", help="With --deep: which one.  [default: act.db; ACT_DATABASE]")
@click.option(
    "--mend", is_flag=True, help="With --deep: forget what is kept for searches where it hides records. Server stopped."
)
@click.pass_context
def doctor(context: click.Context, deep: bool, database: str | None, mend: bool) -> None:
    """Check the way to ACT, and say what to do.

    Is it reachable and ready, is the API key valid and for what, do clocks and versions agree? Exits with 1 if
    something is wrong. With --deep no server is asked: every page of the database is read, every hash of its logs
    computed again; that takes a while for a large one, and the server may run meanwhile. Only --mend changes something,
    and no record: the server makes again what was forgotten.
    """
    if not deep and (database is not None or mend):
        raise click.UsageError(f"{'--mend' if mend else '--database'} needs --deep.")
    if mend:
        _mend(database)
    if deep:
        from act.cli.database_checks import deep_checks

        found = list(deep_checks(database))
    else:
        found = list(_checks())
    if wants_json():
        print_json([asdict(check) for check in found])
    else:
        columns = [("check", lambda it: it.check), ("status", lambda it: it.status), ("detail", lambda it: it.detail)]
        print_list(found, columns, nothing="Nothing was checked.")
    wrong = sum(check.status == "wrong" for check in found)
    say("All is well." if not wrong else f"{wrong} of {len(found)} checks went wrong.")
    context.exit(1 if wrong else 0)


def _mend(database: str | None) -> None:
    from act.cli.backup import opened

    with opened(database) as path:
        from act.audit.hidden import mend
        from act.audit.soundness import examine
        from act.database.engine import FileLock

        if not path.exists():  # the checks say so
            return
        lock = FileLock(path).acquire()
        try:
            mended = mend(path) if examine(path) else []
        finally:
            lock.release()
    for tenant_id in mended:
        say(f"Forgot what was kept for searches of the log of '{tenant_id}'. The server makes it again.")
    if not mended:
        say("Nothing that is kept for searches hides a record.")


def _checks() -> Iterator[Check]:
    import httpx2

    from act import __version__
    from act.client.act import settings
    from act.client.transport import SyncTransport, is_loopback, trust_for

    try:
        url, headers = settings(given_url(), given_key())
    except ValueError as error:
        yield Check("settings", "wrong", str(error))
        return
    trust, from_environment = trust_for(url), not is_loopback(url)
    with httpx2.Client(
        base_url=url, headers=headers, timeout=SECONDS, verify=trust, trust_env=from_environment
    ) as client:
        try:
            before = datetime.now(UTC)
            answer = client.get("/healthz")
            after = datetime.now(UTC)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            said = str(error) or type(error).__name__
            yield Check("reachable", "wrong", f"Nothing answers at {url} ({said}). Start it, or set ACT_BASE_URL.")
            return
        version = _version(answer)
        if version is None:
            detail = f"What answers at {url} ({answer.status_code}) is not ACT. Set ACT_BASE_URL to where ACT is."
            yield Check("reachable", "wrong", detail)
            return
        yield Check("reachable", "ok", url)
        yield _versions(version, __version__)
        yield _clock(answer.headers.get("date"), before, after)
        transport = SyncTransport(client, timeout=SECONDS, retries=0)
        yield _readiness(transport)
        yield from _key(transport, "x-api-key" in client.headers)


def _version(answer: httpx2.Response) -> str | None:
    """The version in an answer of `/healthz`; None when ACT did not give it."""
    from pydantic import ValidationError

    from act.models import Health

    try:
        return Health.model_validate_json(answer.content).version
    except ValidationError:
        return None


def _versions(server: str, own: str) -> Check:
    if server == own:
        return Check("versions", "ok", f"actctl and server {own}")
    return Check("versions", "warning", f"actctl is {own}, the server {server}; install the same version.")


def _clock(date: str | None, before: datetime, after: datetime) -> Check:
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return Check("clock", "warning", "The server does not tell the time.")
    # The header has whole seconds, so the server's clock stood anywhere in the second after it.
    ahead = max((told - after).total_seconds(), 0.0)
    behind = max((before - told).total_seconds() - 1.0, 0.0)
    skew = max(ahead, behind)
    if skew < SKEW:
        return Check("clock", "ok", f"within {SKEW:.0f} s of the server's")
    word = "behind" if ahead else "ahead of"
    return Check("clock", "wrong", f"This machine is {skew:.0f} s {word} the server. Set both clocks by NTP.")


def _readiness(transport: SyncTransport) -> Check:
    from act.client import calls
    from act.client.errors import ActError

    try:
        health = transport.send(calls.ready())
    except ActError as error:
        return Check("ready", "wrong", str(error))
    bad = [f"{name}: {result}" for name, result in health.checks.items() if result != "ok"]
    if health.status == "ok":
        return Check("ready", "ok", ", ".join(health.checks))
    return Check("ready", "wrong", "; ".join(bad) or "The server is not ready; see its log.")


def _key(transport: SyncTransport, given: bool) -> Iterator[Check]:
    """The key, and what it may do, found by asking for a little of everything. No call changes anything."""
    from act.client.call import Call
    from act.client.errors import ActError, Forbidden, Unauthorized, Unprocessable
    from act.client.groups import agents, api_keys, approvals, audit, policies, tokens

    if not given:
        yield Check("api key", "wrong", "There is none; set ACT_API_KEY or name a file with --api-key-file.")
        return
    probes: dict[str, Call[Any]] = {
        "admin": api_keys.list_api_keys(),
        "agents": agents.list_agents(),
        "policies": policies.list_policies(),
        "tokens": tokens.list_tokens(),
        "approve": approvals.list_approvals(),
        "audit": audit.list_audit({"limit": 1}),
        # An empty body is refused after the key was looked at, and before anything is decided or recorded.
        "enforce": Call("POST", "/v1/enforce", bytes, body={}, idempotent=True),
    }
    scopes = []
    for scope, call in probes.items():
        try:
            transport.send(call)
        except Unauthorized:
            detail = "It is not valid: unknown, revoked or expired. An admin key can make one: actctl api-keys create"
            yield Check("api key", "wrong", detail)
            return
        except Forbidden:
            continue
        except Unprocessable:
            pass
        except ActError as error:
            yield Check("api key", "wrong", f"It cannot be checked: {error}")
            return
        scopes.append(scope)
    yield Check("api key", "ok", "valid")
    if "admin" in scopes:
        yield Check("scopes", "ok", "admin, which stands for all")
    elif scopes:
        yield Check("scopes", "ok", ", ".join(scopes))
    else:
        yield Check("scopes", "warning", "none of those this version knows")
