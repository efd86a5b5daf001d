"""What 2-semantics says about approvals, written down as plainly as possible: lists, sets and two clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Roles = frozenset[str] | None


@dataclass(frozen=True)
class Wanted:
    """So many people, each with one of these roles (None: anybody)."""

    people: int
    roles: Roles = None

    def counts(self, key: Key) -> bool:
        return self.roles is None or bool(self.roles & key.roles)

    def at_least(self, other: Wanted) -> bool:
        narrow = other.roles is None or (self.roles is not None and self.roles <= other.roles)
        return narrow and self.people >= other.people


@dataclass
class Key:
    """An API key of somebody who approves; `ends` is on the wall clock."""

    name: str
    roles: frozenset[str] = frozenset()
    person: str | None = None
    ends: float | None = None
    revoked: bool = False

    @property
    def who(self) -> str:
        return self.person.lower() if self.person else f"key {self.name}"

    def good(self, at: float) -> bool:
        return not self.revoked and (self.ends is None or at < self.ends)


@dataclass
class Asked:
    """One approval, and the time as it goes by for it."""

    id: str
    wanted: list[Wanted]
    born: float
    born_measured: float
    life: float
    state: str = "pending"
    said_yes: list[Key] = field(default_factory=list)
    told: bool = False
    now: float = 0.0

    def __post_init__(self) -> None:
        self.now = self.born

    def tick(self, wall: float, measured: float) -> None:
        self.now = max(self.now, wall, self.born + measured - self.born_measured)
        if self.state in ("pending", "approved") and self.now >= self.born + self.life:
            self.state = "expired"


def enough(wanted: list[Wanted], said_yes: list[Key]) -> bool:
    return all(len({key.who for key in said_yes if want.counts(key)}) >= want.people for want in wanted)


@dataclass
class Model:
    """An agent with one token, the policies, and everything that was asked with it."""

    user: str
    asker: Key
    wall: float
    measured: float
    policies: list[tuple[list[Wanted], float]] = field(default_factory=list)
    denying: bool = False
    token_good: bool = True
    suspended: bool = False
    token_from: float = 0.0
    last: dict[int, Asked] = field(default_factory=dict)

    def tick(self) -> None:
        for asked in self.last.values():
            asked.tick(self.wall, self.measured)

    def ask(self, question: int) -> tuple[str, Asked | None]:
        """The reason code, and the approval that it must be about; `pending` in it may be a new one (None)."""
        if not self.token_good or self.suspended or self.wall < self.token_from - 30:
            return "refused", None
        if self.denying:
            return "policy_denied", None
        if not self.policies:
            return "no_matching_policy", None
        wanted = [want for wants, _ in self.policies for want in wants]
        if not wanted:
            return "allowed", None
        life = min(life for wants, life in self.policies if wants)
        asked = self.last.get(question)
        if asked is None:
            return "approval_required", None
        fresh = asked.now - asked.born < life
        counted = [key for key in asked.said_yes if key.good(asked.now) and key.who != self.user]
        if asked.state == "approved" and fresh and enough(wanted, counted):
            asked.state = "redeemed"
            return "allowed", asked
        if asked.state == "rejected" and asked.now < asked.born + asked.life:
            return "approval_rejected", asked
        if asked.state == "expired" and not asked.told and asked.now < asked.born + 2 * asked.life:
            asked.told = True
            return "approval_expired", asked
        if asked.state == "pending" and fresh and all(any(a.at_least(w) for a in asked.wanted) for w in wanted):
            return "approval_required", asked
        return "approval_required", None

    def begin(self, question: int, id: str) -> None:
        several = {want for wants, _ in self.policies for want in wants}
        # Who says yes to the stronger of two demands says yes to the weaker one, so nobody else is asked for that.
        wanted = [want for want in several if not any(o != want and o.at_least(want) for o in several)]
        life = min(life for wants, life in self.policies if wants)
        self.last[question] = Asked(id, wanted, self.wall, self.measured, life)

    def vote(self, key: Key, asked: Asked, yes: bool) -> str:
        """`ok`, or why not."""
        if not key.good(self.wall):
            return "api_key_invalid"
        if asked.state == "expired":
            return "approval_expired"
        if asked.state != "pending":
            return "approval_decided"
        if key.who == self.asker.who:
            return "own_request"
        if key.who == self.user:
            return "own_behalf"
        if not yes:
            if not any(want.counts(key) for want in asked.wanted):
                return "approver_role_missing"
            asked.state = "rejected"
            return "ok"
        if key.who in {other.who for other in asked.said_yes}:
            return "already_approved"
        if not any(want.counts(key) and not enough([want], asked.said_yes) for want in asked.wanted):
            return "approver_role_missing"
        asked.said_yes.append(key)
        if enough(asked.wanted, asked.said_yes):
            asked.state = "approved"
        return "ok"


def constraint(wanted: list[Wanted], life: float) -> dict[str, Any]:
    """`requiresApproval` as it is written; one policy has one demand."""
    (want,) = wanted
    said: dict[str, Any] = {"approvers": want.people, "expiresIn": int(life)}
    return said if want.roles is None else said | {"from": sorted(want.roles)}
