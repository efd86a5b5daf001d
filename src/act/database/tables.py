"""The tables, as SQLAlchemy Core sees them. The migrations make them; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect


class Moment(TypeDecorator[datetime]):
    """A moment as microseconds since the epoch: exact, sortable, the same on every database."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else from_microseconds(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch."""
    since = moment - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(value: int) -> datetime:
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


metadata = MetaData()


def _tenant() -> Column[str]:
    return Column("tenant_id", String, ForeignKey("tenants.id"), nullable=False)


instance = Table(
    "instance",
    metadata,
    Column("id", String, primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("probed_at", Moment),
)

changes = Table(
    "changes",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _tenant(),
    Column("kind", String, nullable=False),
    Column("entity_id", String, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("max_token_ttl", Integer, nullable=False),
    Column("default_token_ttl", Integer, nullable=False),
    Column("default_labels", JSON, nullable=False, server_default='["untrusted"]'),
    Column("audit_arguments", String, nullable=False, server_default="redacted"),
    Column("redact_patterns", JSON, nullable=False, server_default="[]"),
    Column("created_at", Moment, nullable=False),
    Column("frozen_at", Moment),
    Column("frozen_reason", Text),
    Column("audit_retention", Integer),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("name", String, nullable=False),
    Column("prefix", String, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("agent_id", String),
    Column("roles", JSON, nullable=False),
    Column("person", String),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)

agents = Table(
    "agents",
    metadata,
    _tenant(),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("mark", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("tenant_id", "id"),
    Index("agents_name", "tenant_id", "name", unique=True, sqlite_where=text("status != 'deleted'")),
)

policies = Table(
    "policies",
    metadata,
    _tenant(),
    Column("id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("deleted_at", Moment),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("tenant_id", "id"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    _tenant(),
    Column("policy_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("effect", String, nullable=False),
    Column("actions", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("binding", String, nullable=False),
    Column("applies_to", JSON(none_as_null=True)),
    Column("arguments", JSON(none_as_null=True)),
    Column("condition", Text),
    Column("constraints", JSON, nullable=False),
    Column("grants", JSON, nullable=False, server_default='["use"]'),
    Column("delegation", JSON(none_as_null=True)),
    Column("mode", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("valid_from", Moment),
    Column("valid_until", Moment),
    Column("warnings", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("tenant_id", "policy_id", "version"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String, primary_key=True),
    _tenant(),
    Column("use", String, nullable=False),
    Column("algorithm", String, nullable=False),
    Column("public_jwk", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("retires_at", Moment),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("parent", String),
    Column("path", JSON, nullable=False),
    Column("agent_id", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("scope", JSON(none_as_null=True)),
    Column("grants", JSON, nullable=False),
    Column("hand_to", JSON(none_as_null=True)),
    Column("max_depth", Integer, nullable=False),
    Column("task", JSON(none_as_null=True)),
    Column("on_behalf_of", String),
    Column("cnf", JSON(none_as_null=True)),
    Column("created_at", Moment, nullable=False),
    Column("renew_until", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Index("nodes_parent", "parent"),
    Index("nodes_agent", "tenant_id", "agent_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("agent_id", String, nullable=False),
    Column("node", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("superseded_at", Moment),
    UniqueConstraint("tenant_id", "sequence"),
    Index("tokens_agent", "tenant_id", "agent_id"),
    Index("tokens_node", "node"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("binding", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    Column("agent_id", String, nullable=False),
    Column("requester_id", String),
    Column("node", String, nullable=False),
    Column("action", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("arguments", JSON(none_as_null=True)),
    Column("context", JSON, nullable=False),
    Column("erase", Boolean, nullable=False, server_default=text("0")),
    Column("policies", JSON, nullable=False),
    Column("demands", JSON, nullable=False),
    Column("votes", JSON, nullable=False),
    Column("rejection", JSON(none_as_null=True)),
    Column("asked_by", String, nullable=False),
    Column("asker", String),
    Column("users", JSON, nullable=False),
    Column("root_agent_id", String, nullable=False),
    Column("decision_id", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("approvals_status", "tenant_id", "status", "id"),
)

leases = Table(
    "leases",
    metadata,
    Column("decision_id", String, nullable=False),
    _tenant(),
    Column("policy_id", String, nullable=False),
    Column("agent_id", String, nullable=False),
    Column("token_id", String, nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    UniqueConstraint("decision_id", "policy_id", "agent_id"),
)

counters = Table(
    "counters",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("policy_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("holder", String, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("amount", Integer, nullable=False),
    Column("seconds", Integer),
    Column("expires_at", Moment),
    Index("counters_over", "expires_at", sqlite_where=text("expires_at IS NOT NULL")),
)

sessions = Table(
    "sessions",
    metadata,
    _tenant(),
    Column("key", String, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("created", JSON, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("tenant_id", "key"),
)

outcomes = Table(
    "outcomes",
    metadata,
    _tenant(),
    Column("decision_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("record_index", Integer, nullable=False),
    Column("leaf_hash", String, nullable=False),
    UniqueConstraint("tenant_id", "decision_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _tenant(),
    Column("key_id", String, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("key_id", "hash"),
    Index("idempotency_keys_age", "created_at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("include_arguments", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", String),
    Column("failing_since", Moment),
    Column("secrets", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("revision", Integer, nullable=False),
    Index("webhooks_tenant", "tenant_id", "id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String, primary_key=True),
    _tenant(),
    Column("webhook_id", String, nullable=False),
    Column("event", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempts", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment),
    Column("finished_at", Moment),
    Index("webhook_deliveries_webhook", "webhook_id", "id"),
    Index("webhook_deliveries_waiting", "webhook_id", "next_at", sqlite_where=text("status = 'pending'")),
    Index("webhook_deliveries_finished", "finished_at", sqlite_where=text("finished_at IS NOT NULL")),
)

audit_trees = Table(
    "audit_trees",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)


audit_subtrees = Table(
    "audit_subtrees",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

# What is in each block of complete records, so that a search passes over those that cannot have what it looks for.
audit_blocks = Table(
    "audit_blocks",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("first_at", String, nullable=False),
    Column("last_at", String, nullable=False),
)

audit_block_values = Table(
    "audit_block_values",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("field", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("marks", LargeBinary, nullable=False),
    # The blocks of one field beside each other: they are read one after the other.
    sqlite_with_rowid=False,
)

# Leaf hashes of records that are in archives and no longer here, 256 in a row.
audit_tiles = Table(
    "audit_tiles",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

audit_archives = Table(
    "audit_archives",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, nullable=False),
    Column("removed", Integer, nullable=False),
    Column("file", String, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("root_hash", String, nullable=False),
    Column("first_at", String, nullable=False),
    Column("last_at", String, nullable=False),
    Column("sealed_at", Moment, nullable=False),
)


def _field(name: str) -> Computed:
    # Computed from the record itself: what is searched can never differ from what is hashed.
    return Computed(text(f"json_extract(record, '$.{name}')"), persisted=False)


audit_records = Table(
    "audit_records",
    metadata,
    Column("tenant_id", String, ForeignKey("tenants.id"), primary_key=True),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    # What is kept of the arguments, and the salt of their hashes, are in no hash: both can be erased.
    Column("salt", LargeBinary),
    Column("arguments", Text),
    Column("record", Text, nullable=False),
    Column("kind", String, _field("kind")),
    Column("at", String, _field("at")),
    Column("decision_id", String, _field("decisionId")),
    Column("request_id", String, _field("requestId")),
    Column("agent_id", String, _field("agentId")),
    Column("requester_id", String, _field("requesterId")),
    Column("action", String, _field("action")),
    Column("resource_id", String, _field("resourceId")),
    Column("decision", String, _field("decision")),
    Column("reason_code", String, _field("reasonCode")),
    Column("task_id", String, _field("taskId")),
    Column("conversation_id", String, _field("conversationId")),
    Column("on_behalf_of", String, _field("onBehalfOf")),
    Column("approval_id", String, _field("approvalId")),
    Column("kept_hash", String, _field("keptHash")),
    # With the order in which they are read, or SQLite would rather walk through the whole log in order.
    Index("audit_records_decision", "tenant_id", "decision_id", "idx", sqlite_where=text("decision_id IS NOT NULL")),
    Index("audit_records_task", "tenant_id", "task_id", "idx", sqlite_where=text("task_id IS NOT NULL")),
    Index(
        "audit_records_conversation",
        "tenant_id",
        "conversation_id",
        "idx",
        sqlite_where=text("conversation_id IS NOT NULL"),
    ),
)
