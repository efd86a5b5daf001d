"""The SDK as commands use it: opened from the shared options, its errors as sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import click

from act.cli.command import given_key, given_url
from act.cli.output import say

if TYPE_CHECKING:
    from act.client.act import Act
    from act.client.errors import ActError

T = TypeVar("T")

_SEE: Final = " See 'errors'."
SECONDS: Final = 10.0
"""How long a person waits for one answer."""


@contextmanager
def connected() -> Iterator[Act]:
    """The server that was asked for. What goes wrong inside ends the command with one clear sentence."""
    from act.client.act import Act
    from act.client.errors import ActError

    try:
        with Act(given_url(), given_key(), timeout=SECONDS) as act:
            yield act
    except ActError as error:
        raise click.ClickException(sentence(error)) from None
    except ValueError as error:
        # What cannot be sent, or not even connected to; the SDK says what and why.
        raise click.ClickException(str(error)) from None


@contextmanager
def told_so_far(done: Callable[[], str]) -> Iterator[None]:
    """Around work of several calls: when one of them fails, say what the others have `done`, which stays."""
    from act.client.errors import ActError

    try:
        yield
    except ActError:
        say(f"Until then {done()}; run the same command again for the rest.")
        raise


def sentence(error: ActError) -> str:
    """What happened and what to do, as one who types commands can do it."""
    from act.client.act import settings
    from act.client.errors import Forbidden, NotFound, Unauthorized, Unreachable

    if isinstance(error, Unreachable):
        url = settings(given_url(), None)[0]
        return f"{error}\nAsked {url}; set ACT_BASE_URL or give --url for another. `actctl doctor` looks further."
    if error.problem is None:
        return str(error)
    faults = error.problem.errors or []
    detail = error.problem.detail or error.problem.title
    # A person sees them, and does not read the document in which the API has a member of this name.
    text = f"{detail.removesuffix(_SEE) if faults else detail} ({error.code}, {error.status})"
    for fault in faults:
        text += f"\n  {fault.pointer or '(body)'}: {fault.message}"
    if isinstance(error, Unauthorized):
        text += " Set ACT_API_KEY, or name a file that holds a key with --api-key-file."
    elif isinstance(error, NotFound) and urlsplit(url := settings(given_url(), None)[0]).path.strip("/"):
        text += f"\nAsked {url}; is the path in it right?"
    elif isinstance(error, Forbidden) and error.code == "scope_missing":
        text += " Use a key that has it; `actctl api-keys create` makes one."
    return text


def for_agent(act: Act, agent: str, call: Callable[[str], T]) -> T:
    """`call` with the id of an agent that was given by id or by name. An id wins over a name."""
    from act.client.errors import NotFound

    try:
        return call(agent)
    except NotFound:
        found = _id_of(act, agent)
        if found is None:
            raise
        return call(found)


def agent_id(act: Act, agent: str, *, must_exist: bool = True) -> str:
    """The id of an agent that was given by id or by name; as given when the API key may not look it up.

    Raises:
        click.ClickException: there is none; with `must_exist=False` what was given is taken for the id of a former one.
    """
    from act.client.errors import Forbidden, NotFound

    try:
        return act.agents.get(agent).id
    except Forbidden:
        return agent
    except NotFound:
        found = _id_of(act, agent)
    if found is None and must_exist:
        raise click.ClickException(f"There is no agent with the id or the name '{agent}' in this tenant.")
    return found or agent


def _id_of(act: Act, name: str) -> str | None:
    from act.client.errors import Forbidden

    try:
        return next((agent.id for agent in act.agents.list() if agent.name == name), None)
    except Forbidden:
        return None
