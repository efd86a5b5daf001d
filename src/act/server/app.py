"""The composition root: the one place where a node's parts are made and joined."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import DatabaseError

from act.agents import routes as agent_routes
from act.agents.live import LiveAgents
from act.agents.service import AgentService
from act.approvals import routes as approval_routes
from act.approvals.answers import Answers
from act.approvals.expiry import Expiry
from act.approvals.hearing import HearingService
from act.approvals.live import LiveApprovals
from act.approvals.service import ApprovalService
from act.approvals.steps import Steps
from act.approvals.telling import Teller
from act.audit import archive_routes, erasure_routes
from act.audit import routes as audit_routes
from act.audit.archives import ArchiveService
from act.audit.erasure import ErasureService
from act.audit.proving import LogService
from act.audit.service import AuditService
from act.audit.soundness import check, reached
from act.audit.stream import LogStream
from act.audit.summaries import Summaries
from act.audit.writer import Writer
from act.database.changes import ChangeFeed
from act.database.clock import Clock, SystemClock
from act.database.engine import DatabaseUnusable, FileLock, let_go, reading_engine, sqlite_path, writing_engine
from act.database.head import Head, Reached
from act.database.ids import new_id
from act.database.keyfiles import KeyFiles
from act.database.migrate import ensure_current
from act.database.places import Places
from act.database.soundness import damaged, trouble
from act.database.tables import instance
from act.delegations import routes as delegation_routes
from act.delegations.service import DelegationService
from act.enforcement import outcomes
from act.enforcement.batch import BATCH_PATH, BatchRoute
from act.enforcement.bearers import Bearers
from act.enforcement.judge import Judge
from act.enforcement.pipeline import Pipeline
from act.enforcement.recall import Recall
from act.enforcement.replays import Replays
from act.enforcement.route import PATH, DecisionRoute, EnforceRoute
from act.enforcement.settle import Settler
from act.idempotency.middleware import Idempotency, has_key
from act.idempotency.service import IdempotencyService
from act.limits.service import LimitService
from act.metrics import Metrics
from act.policies import routes as policy_routes
from act.policies.live import LivePolicies
from act.policies.permissions import PermissionService
from act.policies.service import PolicyService
from act.server import health, openapi, problems
from act.server.middleware import RequestId, StrictBodies
from act.server.settings import Settings, SettingsInvalid
from act.sessions.live import LiveSessions
from act.sessions.service import SessionService
from act.tenants import routes as tenant_routes
from act.tenants.access import Access
from act.tenants.control import TenantControl
from act.tenants.live import LiveApiKeys, LiveTenants
from act.tenants.service import TenantService
from act.tenants.tenant import DEFAULT_TENANT
from act.text import forget, know
from act.tokens import key_routes
from act.tokens import routes as token_routes
from act.tokens.introspection import IntrospectionService
from act.tokens.key_service import KeyService
from act.tokens.live import LiveTokens
from act.tokens.live_keys import LiveKeys
from act.tokens.mint import Mint
from act.tokens.nodes import LiveNodes
from act.tokens.possession import Possession
from act.tokens.rotation import RotationService
from act.tokens.sequence import Sequences
from act.tokens.service import TokenService
from act.tokens.tree import Tree
from act.tokens.verify import Verifier
from act.webhooks import routes as webhook_routes
from act.webhooks.addresses import Destinations
from act.webhooks.live import LiveWebhooks
from act.webhooks.outbox import Outbox
from act.webhooks.post import Post
from act.webhooks.sender import Sender
from act.webhooks.service import WebhookService
from act.webhooks.signing import SigningSecrets
from act.webhooks.upkeep import Upkeep

if TYPE_CHECKING:
    from act.server.telemetry import Telemetry

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 10.0

log = logging.getLogger("act.server")


class Node:
    """One running ACT on one database. `app` is its ASGI application; `close` it when the last request is answered.

    `new_admin_key` is the key that the first start made, to be shown once; None on every later start.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._telemetry: Telemetry | None = None
        self.app: Any
        path = sqlite_path(settings.database)
        files = KeyFiles(path.with_name(path.name + ".keys"), settings.master_key)
        self._lock = FileLock(path).acquire()
        self._known = [secret for secret in (settings.bootstrap_api_key, settings.master_key) if secret]
        for secret in self._known:
            know(secret)
        try:
            self._telemetry = _telemetry(settings)
            if files.any() and not path.exists():
                raise DatabaseUnusable(
                    f"{path} is missing, but its keys are there; put the database back, or move {path}.keys away."
                )
            self._head = Head(path)
            check(path, self._head, files)
            if encrypted := files.encrypt_plain():
                log.info("encrypted %d private keys with the master key: %s", len(encrypted), ", ".join(encrypted))
            self._writing = writing_engine(path)
            self._reading = reading_engine(path)
            ensure_current(self._writing, settings.database)
            name = _instance(self._writing, self._clock.now())
            try:
                self._join(settings, files, f"urn:act:{name}")
            except (ValueError, LookupError) as error:
                raise damaged(path, f"What is in it cannot be read ({type(error).__name__}: {error}).") from error
            self._tell_head()
        except BaseException as error:
            self._lock.release()
            self._end_telemetry()
            self._forget()
            if isinstance(error, DatabaseError):
                raise trouble(path, error.orig) from error
            raise
        if self._telemetry is not None:
            self.app = self._telemetry.around(self.app)
        self._stopping = threading.Event()
        self._forgets_at = self._clock.monotonic()
        self._sweeper = threading.Thread(target=self._sweep, name="act-sweeper", daemon=True)
        self._archivist = threading.Thread(target=self._archive, name="act-archivist", daemon=True)
        self._writer.start()
        self._sender.start()
        self._sweeper.start()
        self._archivist.start()
        try:
            self.new_admin_key = self._bootstrap()
        except BaseException:
            self.close()
            raise

    def _join(self, settings: Settings, files: KeyFiles, name: str) -> None:
        clock = self._clock
        issuer = settings.issuer or name
        audience = settings.audience or issuer

        self.tenants, self.api_keys, agents = LiveTenants(), LiveApiKeys(), LiveAgents()
        policies, tokens, keys, approvals = LivePolicies(), LiveTokens(clock), LiveKeys(files), LiveApprovals(clock)
        self._nodes = nodes = LiveNodes(clock)
        self._sessions = sessions = LiveSessions(clock)
        webhooks = LiveWebhooks()
        feed = ChangeFeed(
            {
                "tenant": self.tenants,
                "api_key": self.api_keys,
                "key": keys,
                "agent": agents,
                "policy": policies,
                "token": tokens,
                "node": nodes,
                "approval": approvals,
                "session": sessions,
                "webhook": webhooks,
            }
        )
        metrics = Metrics()
        places = Places(sqlite_path(settings.database), self._lock.identity)
        self._writer = writer = Writer(self._writing, feed, clock, places, metrics)
        metrics.watch(lambda: writer.waiting, lambda: feed.revision)
        self._limits = limits = LimitService(writer, clock)
        with self._writing.connect() as connection:
            feed.load(connection)
            limits.load(connection)

        reader, sequences, access, replays = self._reading, Sequences(clock), Access(self.api_keys, clock), Replays()
        self._tokens = tokens
        self._idempotency = IdempotencyService(writer, reader, clock)
        self._keys = KeyService(writer, reader, clock, files, self.tenants, keys)
        signing, destinations = SigningSecrets(files), Destinations(settings.webhook_allow_private)
        outbox = Outbox(clock, webhooks)
        self._sender = Sender(writer, reader, clock, webhooks, Post(clock, signing, destinations))
        self._upkeep = Upkeep(writer, reader, clock, webhooks, signing)
        teller = Teller(outbox, agents)
        steps = Steps(self.tenants, teller)
        asking = ApprovalService(approvals, self.api_keys, teller, steps)
        self._hearing = HearingService(writer, reader, clock, approvals, steps, Answers(approvals, agents))
        self._expiry = Expiry(writer, approvals, steps)
        self.tenant_service = TenantService(
            writer, reader, clock, files, agents, self.api_keys, max_token_ttl=settings.max_token_ttl
        )
        self._stream = stream = LogStream(reader, lambda tenant_id: writer.head(tenant_id).size)
        writer.after_commit = stream.grown
        transparency = LogService(writer, reader, keys, issuer=issuer)
        self._audit = audit = AuditService(reader, transparency, clock)
        self._summaries = Summaries(writer, reader)
        path = sqlite_path(settings.database)
        folder = Path(settings.audit_archives or path.with_name(path.name + ".archives")).expanduser().resolve()
        self.archives = ArchiveService(writer, reader, clock, transparency, audit, self.tenants, folder)
        erasure = ErasureService(writer, reader, transparency, steps.erase)
        self._verifier = verifier = Verifier(
            self.tenants, agents, tokens, nodes, keys, issuer=issuer, audience=audience
        )
        mint = Mint(clock, sequences, keys, nodes, issuer=issuer, audience=audience)
        possession, tree = Possession(clock, verifier), Tree(reader, clock, agents)
        bearers = Bearers(verifier, agents, possession)
        judge = Judge(bearers, self.tenants, agents, policies, sessions, Settler(limits, asking))
        with self._reading.connect() as connection:
            Recall(self.tenants, policies, approvals, clock).into(replays, connection)
        pipeline = Pipeline(clock, feed, access, judge, replays, writer, metrics)
        reports = outcomes.OutcomeService(writer, audit, limits, self.tenants, SessionService(clock, sessions), replays)
        limits.on_time_out = reports.timed_out
        management = _management()
        for router in (
            agent_routes.routes(AgentService(writer, reader, clock, sequences), access),
            policy_routes.routes(
                PolicyService(writer, reader, clock, agents, policies, require_binding=settings.require_binding),
                PermissionService(reader, clock, feed, self.tenants, agents, policies, tree),
                access,
            ),
            token_routes.routes(
                TokenService(writer, reader, clock, self.tenants, agents, policies, mint),
                RotationService(writer, reader, clock, self.tenants, agents, mint, possession),
                IntrospectionService(clock, feed, self.tenants, verifier),
                access,
            ),
            delegation_routes.routes(
                DelegationService(writer, clock, self.tenants, agents, policies, sessions, mint, possession),
                tree,
                access,
            ),
            key_routes.routes(self._keys, keys, access),
            openapi.enforce_stub(access),
            outcomes.routes(reports, access),
            approval_routes.routes(self._hearing, access),
            archive_routes.routes(self.archives, access),
            audit_routes.routes(audit, transparency, access),
            erasure_routes.routes(erasure, access),
            audit_routes.event_routes(stream, transparency, access),
            tenant_routes.routes(self.tenant_service, access),
            tenant_routes.tenant_routes(TenantControl(writer, reader, clock), access),
            webhook_routes.routes(WebhookService(writer, reader, clock, signing, destinations, outbox), access),
            health.routes(health.Readiness(writer, feed, self.tenants, keys, clock), metrics),
        ):
            management.include_router(router)
        once = Idempotency(management, access, self.tenants, self._idempotency)
        decisions = {
            PATH: EnforceRoute(pipeline, access, metrics),
            BATCH_PATH: BatchRoute(pipeline, access, metrics),
        }
        self.app = Street(decisions, outcomes.OutcomeRoute(reports, access), RequestId(StrictBodies(once, access)))

    def _tell_head(self) -> None:
        """From now on, every commit is told to the file that says how far the database has come."""
        head = self._head
        with self._reading.connect() as connection:
            head.open(reached(connection))
        self._writer.committed = lambda records, revision: head.note(Reached(records, revision))

    def admit_admin(self, key: str, name: str) -> None:
        """Make `key` an admin key of the default tenant, unless it is one already; for who runs the node itself.

        Whoever can open the file needs no key to read it, so this gives nothing away; it is audited all the same.

        Raises:
            PermissionError: the key was revoked, or has expired.
        """
        if self.api_keys.find(key, self._clock.now()) is None:
            self.tenant_service.admit_admin(DEFAULT_TENANT, key, name)

    def _bootstrap(self) -> str | None:
        """On the first start: the default tenant with its keys, and an admin key."""
        if any(True for _ in self.tenants):
            return None
        return self.tenant_service.create_tenant(DEFAULT_TENANT, DEFAULT_TENANT, self.settings.bootstrap_api_key)

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP_SECONDS):
            try:
                self._expiry.sweep()
                self._limits.sweep(lambda family: self._nodes.get(family) is not None)
                self._forget_expired()
                self._keys.sweep()
                self._idempotency.sweep()
                self._upkeep.sweep()
                self._summaries.sweep(tenant.id for tenant in list(self.tenants))
                with self._reading.connect() as connection:
                    self._sessions.forget_ended(connection)
            except Exception:
                log.exception("the sweep failed and will be tried again")

    def _forget_expired(self) -> None:
        """Seldom, because all tokens are looked through, and expired ones are refused by their date meanwhile."""
        if self._clock.monotonic() < self._forgets_at:
            return
        self._forgets_at = self._clock.monotonic() + FORGET_SECONDS
        self._tokens.forget_expired()
        self._verifier.forget_expired(self._clock.now().timestamp())
        self._nodes.forget_expired()

    def _archive(self) -> None:
        """In a thread of its own, because a log takes longer than a sweep may."""
        while not self._stopping.wait(SWEEP_SECONDS):
            try:
                self.archives.sweep()
            except Exception:
                log.exception("archiving failed and will be tried again")

    def stop_waiting(self) -> None:
        """Answer long polls with what there is, and end streams and exports; no later one waits."""
        self._hearing.stop_waiting()
        self._stream.close()
        self._audit.stop()

    def close(self) -> None:
        """Write what waits, then let go of the database. Closing twice does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.archives.stop()
        self._sweeper.join()
        self._archivist.join()
        self._sender.stop()
        self._writer.stop()
        let_go(self._writing, self._reading)
        self._head.close()
        self._lock.release()
        self._end_telemetry()
        self.api_keys.close()
        self._forget()

    def _forget(self) -> None:
        """What the settings of this node name is no secret of the process any more."""
        while self._known:
            forget(self._known.pop())

    def _end_telemetry(self) -> None:
        if self._telemetry is not None:
            self._telemetry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Street:
    """Decisions and outcomes go past FastAPI and what stands before it; everything else through it."""

    def __init__(
        self, decisions: Mapping[str, DecisionRoute], outcome: outcomes.OutcomeRoute, management: RequestId
    ) -> None:
        self._decisions = decisions
        self._outcome = outcome
        self._management = management

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        app: Any = self._management
        if scope["type"] == "http":
            if decisions := self._decisions.get(scope["path"]):
                app = decisions
            elif scope["method"] == "POST" and outcomes.PATH.fullmatch(scope["path"]) and not has_key(scope):
                app = self._outcome
        await app(scope, receive, send)


def _management() -> FastAPI:
    # The documentation page comes from the server itself: it works offline and asks no one else for scripts.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        title="ACT",
        summary="Agent Capability Tokens",
        description=openapi.DESCRIPTION,
        version=importlib.metadata.version("agent-capability-tokens"),
        redirect_slashes=False,
        responses=openapi.PROBLEMS,
        # FastAPI's own would give paths, queries and errors to whatever provider the process has.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    problems.install(app)
    openapi.complete(app)
    return app


def _telemetry(settings: Settings) -> Telemetry | None:
    """Only who wants traces needs the packages for them."""
    if not settings.otel:
        return None
    try:
        from act.server.telemetry import Telemetry
    except ImportError as error:
        install = "pip install 'agent-capability-tokens[telemetry]'"
        raise SettingsInvalid(
            f"ACT_OTEL is on, and OpenTelemetry is not installed ({error}); run: {install}"
        ) from error
    return Telemetry()


def _instance(engine: Engine, now: datetime) -> str:
    """The database's own name, given at its first start."""
    with engine.begin() as connection:
        if found := connection.execute(select(instance.c.id)).scalar():
            return str(found)
        name = new_id("act").removeprefix("act_")
        connection.execute(insert(instance).values(id=name, created_at=now))
        return name
