"""Who may call: every route names the scope it needs (3-api, "Callers")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from act import bodies
from act.database.clock import Clock
from act.models import Scope
from act.problems import ProblemError, forbidden
from act.queries import refuse_nonsense
from act.tenants.live import LiveApiKeys
from act.tenants.tenant import ApiKey

HEADER = "X-Api-Key"
_header = APIKeyHeader(name=HEADER, auto_error=False, description="An API key of the tenant.")


class Access:
    """Tells callers by their API key."""

    def __init__(self, keys: LiveApiKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def known(self, presented: str | None) -> ApiKey:
        """The caller, whatever its scopes.

        Raises:
            ProblemError: 401 without a valid key.
        """
        if not presented:
            several = "; there are several" if presented is None else ""  # see `presented_in`
            raise _unauthorized("api_key_missing", f"Send an API key in the header {HEADER}{several}.")
        key = self._keys.find(presented, self._clock.now())
        if key is None:
            raise _invalid()
        return key

    def authenticate(self, presented: str | None, *scopes: Scope) -> ApiKey:
        """The caller, who has at least one of `scopes`.

        Raises:
            ProblemError: 401 without a valid key, 403 without a fitting scope.
        """
        key = self.known(presented)
        if not key.has_one_of(scopes):
            needed = " or ".join(f"'{scope}'" for scope in scopes)
            raise forbidden("scope_missing", f"The API key '{key.name}' lacks the scope {needed}.")
        return key

    def still_good(self, caller: ApiKey) -> bool:
        """Whether the key of a caller who is being answered has neither been revoked nor expired meanwhile."""
        return self._keys.in_use(caller.id, self._clock.now())

    def look_again(self, caller: ApiKey) -> None:
        """For a caller who was kept waiting, and for whom something is done only now.

        Raises:
            ProblemError: 401 when the key is not good any more.
        """
        if not self.still_good(caller):
            raise _invalid()

    def requires(self, *scopes: Scope) -> Callable[..., Awaitable[ApiKey]]:
        """A FastAPI dependency."""

        async def caller(request: Request, _: str | None = Security(_header)) -> ApiKey:
            # Security() documents the header, and would take the first of two; two keys are none.
            found = self.authenticate(presented_in(request.scope["act.headers"]), *scopes)
            refuse_nonsense(request)
            return found

        return caller


def presented_in(headers: bodies.Headers) -> str | None:
    """The API key among the headers of a request, empty when there is none; two keys are none, and told as None."""
    return headers.get(bodies.API_KEY, "")


def _invalid() -> ProblemError:
    return _unauthorized("api_key_invalid", "The API key is not valid: unknown, revoked or expired.")


def _unauthorized(code: str, detail: str) -> ProblemError:
    # RFC 9110 wants a challenge with every 401; there is no registered scheme for a header key.
    return ProblemError(401, code, "Unauthorized", detail, headers={"WWW-Authenticate": f'ApiKey header="{HEADER}"'})
