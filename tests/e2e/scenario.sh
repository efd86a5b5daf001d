#!/usr/bin/env bash
# The reference scenario, as a person types it: a planner that may plan, an executor that may execute and update when
# a person approves. Needs curl, python3 and a running server:
#
#   export ACT_BASE_URL=http://127.0.0.1:8377 ACT_API_KEY=act_...
#   tests/e2e/scenario.sh
#
# Prints every decision, and at the end the tokens for validate_with_act.py.
set -euo pipefail

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
decision() { python3 -c 'import json, sys; a = json.load(sys.stdin); print(sys.argv[1], a["decision"], a["reasonCode"])' "$1"; }

# --- agents -----------------------------------------------------------------------------------------------------------

PLANNER_ID=$(curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/agents" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Planner Agent", "metadata": {"role": "planner"}}' | field id)

EXECUTOR_ID=$(curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/agents" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Executor Agent", "metadata": {"role": "executor"}}' | field id)

# --- policies: each is bound to the role that its name begins with -----------------------------------------------------

curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/policies" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Planner Capabilities", "actions": ["read", "list", "plan"],
       "resources": ["api://tasks/*", "api://workflows/*"]}' | field binding

curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/policies" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d '{"name": "Executor Capabilities", "actions": ["execute", "update"], "resources": ["api://tasks/execute/*"],
       "constraints": {"requiresApproval": true, "maxConcurrentTasks": 5}}' | field binding

# --- tokens -----------------------------------------------------------------------------------------------------------

PLANNER_TOKEN=$(curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/tokens" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d "{\"agentId\": \"$PLANNER_ID\", \"expiresIn\": 3600}" | field token)

EXECUTOR_TOKEN=$(curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/tokens" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d "{\"agentId\": \"$EXECUTOR_ID\", \"expiresIn\": 3600}" | field token)

# --- decisions --------------------------------------------------------------------------------------------------------

enforce() { # token, action, resource
  curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/enforce" \
    -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
    -d "{\"requestId\": \"$(python3 -c "import uuid; print(uuid.uuid4())")\", \"capabilityToken\": \"$1\", \"action\": \"$2\", \"resourceId\": \"$3\",
         \"tenantId\": \"default-tenant\", \"context\": {}}"
}

enforce "$PLANNER_TOKEN" plan api://workflows/plan | decision "planner plan"
enforce "$PLANNER_TOKEN" execute api://tasks/execute/42 | decision "planner execute"
ASKED=$(enforce "$EXECUTOR_TOKEN" execute api://tasks/execute/42)
decision "executor execute" <<<"$ASKED"

# --- a person approves, with a key of their own; the key that asked never can ------------------------------------------

ALICE_KEY=$(curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/api-keys" \
  -H "X-Api-Key: $ACT_API_KEY" -H "Content-Type: application/json" \
  -d '{"name": "alice", "scopes": ["approve"]}' | field key)

APPROVAL_ID=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["approval"]["id"])' <<<"$ASKED")

curl -sS --fail-with-body -X POST "$ACT_BASE_URL/v1/approvals/$APPROVAL_ID/approve" \
  -H "X-Api-Key: $ALICE_KEY" -H "Content-Type: application/json" -d '{}' | field status

enforce "$EXECUTOR_TOKEN" execute api://tasks/execute/42 | decision "executor execute"
enforce "$EXECUTOR_TOKEN" execute api://tasks/execute/42 | decision "executor execute"

echo "export PLANNER_TOKEN=$PLANNER_TOKEN"
echo "export EXECUTOR_TOKEN=$EXECUTOR_TOKEN"
