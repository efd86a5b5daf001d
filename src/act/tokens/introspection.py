"""What a token is, for another service that was handed one (RFC 7662)."""

from __future__ import annotations

from act import models
from act.database.clock import Clock
from act.tenants.live import LiveTenants
from act.tenants.tenant import ApiKey
from act.tokens.refusal import Refusal
from act.tokens.verify import Verifier


class IntrospectionService:
    def __init__(self, clock: Clock, tenants: LiveTenants, verifier: Verifier) -> None:
        self._clock = clock
        self._tenants = tenants
        self._verifier = verifier

    def introspect(self, caller: ApiKey, body: models.TokenIntrospect) -> models.Introspection:
        """The claims of a token that is good now; of any other only that it is not (RFC 7662, section 2.2).

        A token that is bound to a key is told by its `cnf`: it is worth nothing without a proof.
        """
        accepted = self._verifier.verify(body.token, caller, None, self._clock.now().timestamp())
        if isinstance(accepted, Refusal) or self._tenants.get(caller.tenant_id).frozen:
            return models.Introspection(active=False)
        claims = accepted.claims.to_payload()
        shown = {name: claims.get(name) for name in models.Introspection.model_fields if name in claims}
        return models.Introspection(active=True, token_type="proof" if "cnf" in claims else "Bearer", **shown)
