"""The log in forms that other programs read: CSV, and OCSF events (schema.ocsf.io, class 6003 API Activity). Pure.

Neither can be verified; for that take the export as JSON lines.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

COLUMNS: Final = (
    "index",
    "at",
    "kind",
    "decision",
    "reasonCode",
    "agentId",
    "agentName",
    "requesterId",
    "action",
    "resourceId",
    "decisionId",
    "requestId",
    "taskId",
    "conversationId",
    "keyId",
    "approvalId",
    "status",
    "reason",
    "leafHash",
    "arguments",
)
OCSF_VERSION: Final = "1.4.0"
PRODUCT: Final = "ACT"
_BEGINS: Final = (
    "=+\\-@\u207a-\u207c\u208a-\u208c\u2212\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
)
"""With all that a program which normalises (NFKC) takes for one of the four, and the minus sign (OWASP, "CSV
Injection")."""
_UNSEEN: Final = (
    "\\s\\x00-\\x1f\\x7f-\\x9f\\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    '\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"'
)
"""What a program may pass over before a formula: white space, control, format and ignorable characters (Unicode,
sections 5.21 and 23), quotes."""
_FORMULA = re.compile(
    rf"""\A(?=[\t\r\n]|[{_UNSEEN}]*+[{_BEGINS}])"""
    # What other programs begin a new cell with: Excel takes semicolons or tabs where commas are decimal signs, and
    # there a quote within a cell does not hold lines together. What begins one of its own is not passed over.
    rf"""|(?<=[;\t\r\n])(?=(?:(?![\t\r\n])[{_UNSEEN}])*+[{_BEGINS}])"""
)
_LINE_ENDS: Final = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
"""What JSON may have within a text, and many programs end a line at (Unicode, section 5.8)."""
_STATUS: Final = {"allowed": (1, "Success"), "denied": (2, "Failure"), "pending_approval": (99, "Pending")}
_BY_AGENTS: Final = frozenset(("decision", "decision.outcome"))
_FAILED: Final = frozenset(("delegation.refused",))
_THINGS: Final = (
    ("agentId", "agentName", "agent"),
    ("toAgent", "", "agent"),
    ("tokenId", "", "token"),
    ("policyId", "policyName", "policy"),
    ("apiKeyId", "apiKeyName", "API key"),
    ("kid", "", "signing key"),
    ("webhookId", "host", "webhook"),
    ("approvalId", "", "approval"),
    ("decisionId", "", "decision"),
    ("sha256", "file", "archive"),
)
"""Members of a record that say what it is about: an id, a name, and what it is."""


def csv_header() -> bytes:
    return _row(COLUMNS)


def csv_line(record: Mapping[str, Any], leaf_hash: str, arguments: str | None = None) -> bytes:
    """One record, and the JSON of what is kept of the arguments.

    Where a spreadsheet would take a text, or a part of it, for a formula, an apostrophe stands before that.
    """
    values = {**record, "leafHash": leaf_hash, "arguments": arguments}
    return _row([_cell(values.get(name)) for name in COLUMNS])


def _cell(value: Any) -> str:
    return "" if value is None else _FORMULA.sub("'", str(value))


def _row(values: tuple[str, ...] | list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue().encode()


def ocsf_line(record: Mapping[str, Any], leaf_hash: str, arguments: str | None = None) -> bytes:
    """One record as an API Activity event; all of it stands under `unmapped`, what is kept of arguments under `api`.

    The actor of a decision and of its outcome is the agent; of everything else the API key that did it, or ACT itself.
    The log has no addresses: the source is the API key, by its id.
    """
    at = datetime.fromisoformat(record["at"])
    status_id, status = _status(record)
    denied = record.get("decision") == "denied"
    event: dict[str, Any] = {
        "class_uid": 6003,
        "class_name": "API Activity",
        "category_uid": 6,
        "category_name": "Application Activity",
        "activity_id": 99,
        "activity_name": record.get("action") or record["kind"],
        "type_uid": 600399,
        "type_name": "API Activity: Other",
        "time": int(at.timestamp() * 1000),
        "severity_id": 2 if denied else 1,
        "severity": "Low" if denied else "Informational",
        "status_id": status_id,
        "status": status,
        "status_code": record.get("reasonCode"),
        "status_detail": record.get("reason"),
        "actor": _actor(record),
        "src_endpoint": {"name": record.get("keyId") or PRODUCT},
        "api": {
            "operation": record.get("action") or record["kind"],
            "request": {"uid": record.get("requestId")} if record.get("requestId") else None,
        },
        "resources": _resources(record) or None,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": leaf_hash,
            "sequence": record["index"],
            "event_code": record["kind"],
            "tenant_uid": record["tenantId"],
            "correlation_uid": record.get("conversationId") or record.get("taskId"),
            "product": {"name": PRODUCT, "vendor_name": PRODUCT},
        },
        "unmapped": dict(record),
    }
    event = _without_none(event)
    if arguments is not None and "request" in event["api"]:
        event["api"]["request"]["data"] = json.loads(arguments)
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS).encode() + b"\n"


def _status(record: Mapping[str, Any]) -> tuple[int, str]:
    if record["kind"] in _FAILED or (record["kind"] == "decision.outcome" and record.get("status") == "failed"):
        return _STATUS["denied"]
    return _STATUS.get(record.get("decision", ""), _STATUS["allowed"])


def _actor(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who did it; never empty (objects/actor.json wants at least one of its members)."""
    if record["kind"] in _BY_AGENTS and record.get("agentId"):
        return {
            "app_name": record.get("agentName"),
            "app_uid": record["agentId"],
            "user": {"uid": record.get("onBehalfOf")} if record.get("onBehalfOf") else None,
            "session": {"uid": record.get("tokenId")} if record.get("tokenId") else None,
        }
    if key := record.get("keyId"):
        return {"user": {"uid": key, "name": record.get("person"), "type_id": 99, "type": "API key"}}
    return {"app_name": PRODUCT}


def _resources(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it was done to: of a decision the resource alone, of everything else all that the record names."""
    resource = record.get("resourceId")
    found = [{"name": resource}] if resource else []
    if record["kind"] not in _BY_AGENTS:
        for id, name, type in _THINGS:
            if uid := record.get(id):
                found.append(_without_none({"uid": uid, "name": record.get(name), "type": type}))
    return found


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value
