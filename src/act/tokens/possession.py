"""Showing a token, and the key it is bound to, where it is more than a question: handing down and rotating."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from act.database.clock import Clock
from act.models import ReasonCode
from act.problems import ProblemError, forbidden, unprocessable
from act.strict_json import Fault
from act.tenants.tenant import ApiKey
from act.tokens import proof
from act.tokens.proof import MAX_AHEAD, Expected
from act.tokens.refusal import Refusal
from act.tokens.used_proofs import UsedProofs
from act.tokens.verify import Accepted, Verifier


class Possession:
    """Belongs to one process, which does not know what was used before it began.

    So for a token that is older than the process, no proof is accepted that could have been used before: one that is
    dated before the start, or as little after it as the clocks of clients may be ahead. Of a newer token there is none.
    """

    def __init__(self, clock: Clock, verifier: Verifier) -> None:
        self._clock = clock
        self._verifier = verifier
        self._used: dict[str, UsedProofs] = {}  # for each tenant one: none fills that of another
        self._since = clock.now().timestamp() + MAX_AHEAD

    def check(self, shown: str | None, accepted: Accepted, expected: Expected, now: float) -> Refusal | None:
        """Whether the holder of the key asks. Uses nothing up. `now` in seconds since the epoch."""
        return proof.check(shown, accepted.confirmation, expected, now, 0.0 if accepted.since_start else self._since)

    def use(self, tenant_id: str, shown: str) -> Refusal | None:
        """Use a proof up that `check` has accepted."""
        used = self._used.setdefault(tenant_id, UsedProofs())  # in one step, whatever threads there are
        if used.take(proof.digest(shown), self._clock.monotonic()):
            return None
        return Refusal(ReasonCode.PROOF_REPLAYED, "The proof was used before; make a new one for every request.")

    def give_back(self, tenant_id: str, shown: str) -> None:
        """What the proof was used for was not done."""
        self._used[tenant_id].give_back(proof.digest(shown))

    def of(
        self,
        caller: ApiKey,
        token: str,
        shown: str | None,
        action: str,
        resource_id: str,
        arguments: Mapping[str, Any],
        request_id: str | None,
    ) -> Accepted | Refusal:
        """The token, which the caller holds and may act with; its proof, if it needs one, is used up."""
        now = self._clock.now().timestamp()
        accepted = self._verifier.verify(token, caller, None, now)
        if isinstance(accepted, Refusal):
            return accepted
        expected = Expected(token, action, resource_id, arguments, request_id or "", caller.tenant_id)
        refusal = self.check(shown, accepted, expected, now)
        if refusal is None and shown is not None:
            refusal = self.use(caller.tenant_id, shown)
        if refusal is None:
            return accepted
        return replace(refusal, agent_id=accepted.agent.id, token_id=accepted.claims.token_id)


_PROOFS = (ReasonCode.PROOF_REQUIRED, ReasonCode.PROOF_INVALID, ReasonCode.PROOF_REPLAYED)


def refused(refusal: Refusal, pointer: str) -> ProblemError:
    """What is answered for a token or proof that is not good: 403 for a proof, 422 at `pointer` for a token.

    The code is the reason code.
    """
    if refusal.code in _PROOFS:
        return forbidden(str(refusal.code), refusal.reason)
    problem = unprocessable([Fault(pointer, refusal.reason)])
    return ProblemError(422, str(refusal.code), "Token not accepted", refusal.reason, problem.faults)
