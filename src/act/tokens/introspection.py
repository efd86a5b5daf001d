"""What a token is, for another service that was handed one (RFC 7662)."""

from __future__ import annotations

from act import models
from act.database.changes import ChangeFeed
from act.database.clock import Clock
from act.problems import ProblemError
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.refusal import Refusal
from act.tokens.verify import Verifier


class IntrospectionService:
    def __init__(self, clock: Clock, feed: ChangeFeed, tenants: LiveTenants, verifier: Verifier) -> None:
        self._clock = clock
        self._feed = feed
        self._tenants = tenants
        self._verifier = verifier

    def introspect(self, caller: ApiKey, body: models.TokenIntrospect) -> models.Introspection:
        """The claims of a token that is good now; of any other only that it is not (RFC 7662, section 2.2).

        A token that is bound to a key is told by its `cnf`: it is worth nothing without a proof.

        Raises:
            ProblemError: 503 when nobody knows how old the state is; a token may be revoked by now.
        """
        if self._feed.broken:
            detail = "The server does not know how old its state is; it has to be restarted."
            raise ProblemError(503, "stale_state", "Stale state", detail)
        accepted = self._verifier.verify(body.token, caller, None, self._clock.now().timestamp())
        if isinstance(accepted, Refusal) or self._tenants.get(caller.tenant_id).frozen:
            return models.Introspection(active=False)
        claims = accepted.claims.to_payload()
        shown = {name: claims.get(name) for name in models.Introspection.model_fields if name in claims}
        return models.Introspection(active=True, token_type="proof" if "cnf" in claims else "Bearer", **shown)
