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
_BEGINS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""With the full-width forms, which some programs read alike (OWASP, "CSV Injection")."""
_FORMULA = re.compile(
    # What programs pass over before a formula: white space, control and invisible characters, quotes.
    rf"""\A(?=[\t\r\n]|[\s\x00-\x1f\x7f\ufeff\u200b-\u200f"]*+[{_BEGINS}])"""
    # What other programs begin a new cell with: Excel takes semicolons or tabs where commas are decimal signs, and
    # there a quote within a cell does not hold lines together.
    rf"""|(?<=[;\t\r\n])(?=[ \x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\u200b-\u200f"]*+[{_BEGINS}])"""
)
_LINE_ENDS: Final = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
"""What JSON may have within a text, and many programs end a line at (Unicode, section 5.8)."""
_STATUS: Final = {"allowed": (1, "Success"), "denied": (2, "Failure"), "pending_approval": (99, "Pending")}


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
    """One record as an API Activity event; all of it stands under `unmapped`, what is kept of arguments under `api`."""
    at = datetime.fromisoformat(record["at"])
    decision = record.get("decision")
    status_id, status = _STATUS.get(decision, (1, "Success")) if decision else (1, "Success")
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
        "severity_id": 2 if decision == "denied" else 1,
        "severity": "Low" if decision == "denied" else "Informational",
        "status_id": status_id,
        "status": status,
        "status_code": record.get("reasonCode"),
        "status_detail": record.get("reason"),
        "actor": {
            "app_name": record.get("agentName"),
            "app_uid": record.get("agentId"),
            "user": {"uid": record.get("onBehalfOf")} if record.get("onBehalfOf") else None,
            "session": {"uid": record.get("tokenId")} if record.get("tokenId") else None,
        },
        "api": {
            "operation": record.get("action") or record["kind"],
            "request": {"uid": record.get("requestId")} if record.get("requestId") else None,
        },
        "resources": [{"name": record["resourceId"]}] if record.get("resourceId") else None,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": leaf_hash,
            "sequence": record["index"],
            "event_code": record["kind"],
            "tenant_uid": record["tenantId"],
            "correlation_uid": record.get("conversationId") or record.get("taskId"),
            "product": {"name": "ACT", "vendor_name": "ACT"},
        },
        "unmapped": dict(record),
    }
    event = _without_none(event)
    if arguments is not None and "request" in event["api"]:
        event["api"]["request"]["data"] = json.loads(arguments)
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS).encode() + b"\n"


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return value
