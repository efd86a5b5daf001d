"""Identifiers: a prefix that says what it is, and a UUIDv7 (RFC 9562), so that ids sort by time of birth."""

from __future__ import annotations

import uuid_utils


def new_id(prefix: str) -> str:
    """For example `agt_019a...`: prefix, underscore, 32 hex digits."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"
