"""Identifiers: a prefix that says what it is, and a UUIDv7 (RFC 9562), so that ids sort by time of birth."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils


def new_id(prefix: str) -> str:
    """For example `agt_019a...`: prefix, underscore, 32 hex digits."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def born_at(id: str) -> datetime | None:
    """When one of our ids was made, to the millisecond; None for what is none of ours."""
    try:
        uuid = UUID(id.rpartition("_")[2])
        return datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC) if uuid.version == 7 else None
    except (ValueError, OverflowError):
        return None
