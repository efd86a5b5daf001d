"""The first schema.

A migration is history: it names its tables itself and never imports them from the code of today.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("probed_at", sa.Integer()),
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("max_token_ttl", sa.Integer(), nullable=False),
        sa.Column("default_token_ttl", sa.Integer(), nullable=False),
        sa.Column("default_labels", sa.JSON(), nullable=False, server_default='["untrusted"]'),
        sa.Column("audit_arguments", sa.String(), nullable=False, server_default="redacted"),
        sa.Column("redact_patterns", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("frozen_at", sa.Integer()),
        sa.Column("frozen_reason", sa.Text()),
        sa.Column("audit_retention", sa.Integer()),
    )
    op.create_table(
        "agents",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("mark", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_index(
        "agents_name", "agents", ["tenant_id", "name"], unique=True, sqlite_where=sa.text("status != 'deleted'")
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("agent_id", sa.String()),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("person", sa.String()),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer()),
        sa.Column("revoked_at", sa.Integer()),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("binding", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("requester_id", sa.String()),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("arguments", sa.JSON()),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("erase", sa.Boolean(), nullable=False, server_default=sa.text("0")),
        sa.Column("policies", sa.JSON(), nullable=False),
        sa.Column("demands", sa.JSON(), nullable=False),
        sa.Column("votes", sa.JSON(), nullable=False),
        sa.Column("rejection", sa.JSON()),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asker", sa.String()),
        sa.Column("users", sa.JSON(), nullable=False),
        sa.Column("root_agent_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
    )
    op.create_index("approvals_status", "approvals", ["tenant_id", "status", "id"])
    op.create_table(
        "audit_subtrees",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "audit_blocks",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("first_at", sa.String(), nullable=False),
        sa.Column("last_at", sa.String(), nullable=False),
    )
    op.create_table(
        "audit_block_values",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("field", sa.String(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_tiles",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "audit_archives",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("first", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("root_hash", sa.String(), nullable=False),
        sa.Column("first_at", sa.String(), nullable=False),
        sa.Column("last_at", sa.String(), nullable=False),
        sa.Column("sealed_at", sa.Integer(), nullable=False),
    )
    op.create_table(
        "audit_records",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("idx", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary()),
        sa.Column("arguments", sa.Text()),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(), sa.Computed("json_extract(record, '$.kind')", persisted=False)),
        sa.Column("at", sa.String(), sa.Computed("json_extract(record, '$.at')", persisted=False)),
        sa.Column("decision_id", sa.String(), sa.Computed("json_extract(record, '$.decisionId')", persisted=False)),
        sa.Column("request_id", sa.String(), sa.Computed("json_extract(record, '$.requestId')", persisted=False)),
        sa.Column("agent_id", sa.String(), sa.Computed("json_extract(record, '$.agentId')", persisted=False)),
        sa.Column("requester_id", sa.String(), sa.Computed("json_extract(record, '$.requesterId')", persisted=False)),
        sa.Column("action", sa.String(), sa.Computed("json_extract(record, '$.action')", persisted=False)),
        sa.Column("resource_id", sa.String(), sa.Computed("json_extract(record, '$.resourceId')", persisted=False)),
        sa.Column("decision", sa.String(), sa.Computed("json_extract(record, '$.decision')", persisted=False)),
        sa.Column("reason_code", sa.String(), sa.Computed("json_extract(record, '$.reasonCode')", persisted=False)),
        sa.Column("task_id", sa.String(), sa.Computed("json_extract(record, '$.taskId')", persisted=False)),
        sa.Column(
            "conversation_id", sa.String(), sa.Computed("json_extract(record, '$.conversationId')", persisted=False)
        ),
        sa.Column("on_behalf_of", sa.String(), sa.Computed("json_extract(record, '$.onBehalfOf')", persisted=False)),
        sa.Column("approval_id", sa.String(), sa.Computed("json_extract(record, '$.approvalId')", persisted=False)),
        sa.Column("kept_hash", sa.String(), sa.Computed("json_extract(record, '$.keptHash')", persisted=False)),
    )
    op.create_index(
        "audit_records_task",
        "audit_records",
        ["tenant_id", "task_id", "idx"],
        sqlite_where=sa.text("task_id IS NOT NULL"),
    )
    op.create_index(
        "audit_records_conversation",
        "audit_records",
        ["tenant_id", "conversation_id", "idx"],
        sqlite_where=sa.text("conversation_id IS NOT NULL"),
    )
    op.create_index(
        "audit_records_decision",
        "audit_records",
        ["tenant_id", "decision_id", "idx"],
        sqlite_where=sa.text("decision_id IS NOT NULL"),
    )
    op.create_table(
        "outcomes",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("record_index", sa.Integer(), nullable=False),
        sa.Column("leaf_hash", sa.String(), nullable=False),
        sa.UniqueConstraint("tenant_id", "decision_id"),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Integer(), nullable=False),
        sa.UniqueConstraint("tenant_id", "key"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.UniqueConstraint("key_id", "hash"),
    )
    op.create_index("idempotency_keys_age", "idempotency_keys", ["created_at"])
    op.create_table(
        "audit_trees",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("taken_at", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.UniqueConstraint("decision_id", "policy_id", "agent_id"),
    )
    op.create_table(
        "counters",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("policy_id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("holder", sa.String(), primary_key=True),
        sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer()),
        sa.Column("expires_at", sa.Integer()),
    )
    op.create_index("counters_over", "counters", ["expires_at"], sqlite_where=sa.text("expires_at IS NOT NULL"))
    op.create_table(
        "policies",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.Integer()),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_table(
        "policy_versions",
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("binding", sa.String(), nullable=False),
        sa.Column("applies_to", sa.JSON()),
        sa.Column("arguments", sa.JSON()),
        sa.Column("condition", sa.Text()),
        sa.Column("constraints", sa.JSON(), nullable=False),
        sa.Column("grants", sa.JSON(), nullable=False, server_default='["use"]'),
        sa.Column("delegation", sa.JSON()),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("valid_from", sa.Integer()),
        sa.Column("valid_until", sa.Integer()),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.UniqueConstraint("tenant_id", "policy_id", "version"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("use", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("retires_at", sa.Integer()),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.Column("superseded_at", sa.Integer()),
        sa.UniqueConstraint("tenant_id", "sequence"),
    )
    op.create_index("tokens_agent", "tokens", ["tenant_id", "agent_id"])
    op.create_index("tokens_node", "tokens", ["node"])
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("parent", sa.String()),
        sa.Column("path", sa.JSON(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("scope", sa.JSON()),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.Column("hand_to", sa.JSON()),
        sa.Column("max_depth", sa.Integer(), nullable=False),
        sa.Column("task", sa.JSON()),
        sa.Column("on_behalf_of", sa.String()),
        sa.Column("cnf", sa.JSON()),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("renew_until", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.Integer()),
    )
    op.create_index("nodes_parent", "nodes", ["parent"])
    op.create_index("nodes_agent", "nodes", ["tenant_id", "agent_id"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("include_arguments", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String()),
        sa.Column("failing_since", sa.Integer()),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("webhooks_tenant", "webhooks", ["tenant_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("tenant_id", sa.String(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Integer()),
        sa.Column("finished_at", sa.Integer()),
    )
    op.create_index("webhook_deliveries_webhook", "webhook_deliveries", ["webhook_id", "id"])
    op.create_index(
        "webhook_deliveries_waiting",
        "webhook_deliveries",
        ["webhook_id", "next_at"],
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "webhook_deliveries_finished",
        "webhook_deliveries",
        ["finished_at"],
        sqlite_where=sa.text("finished_at IS NOT NULL"),
    )
