"""Settings, from arguments and `ACT_*` environment variables. A wrong one stops the start with a sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from act.server.logs import FORMATS, LogFormat
from act.tenants.tenant import MAX_TOKEN_TTL, SHORTEST_KEY

SHORTEST_MASTER_KEY = 32
DEFAULT_DATABASE = "sqlite:///act.db"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8377

_SENDABLE = re.compile(r"[!-~]+")
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("", "0", "false", "no", "off"))


class SettingsInvalid(ValueError):
    """A setting has a value that cannot be meant."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one node runs.

    `issuer` and `audience` are what tokens name; by default they come from the database's own id, so that a token
    is good wherever the file is served, and nowhere else. `max_token_ttl` (seconds) is for new tenants.
    `master_key` encrypts the private keys beside the database. `webhook_allow_private` lets webhooks lead to http,
    loopback and private addresses. `audit_archives` is the folder of the archives; by default `<database>.archives`.
    `log_format` and `access_log` are for a process of its own; `otel` sends traces.
    """

    database: str = DEFAULT_DATABASE
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    bootstrap_api_key: str | None = field(default=None, repr=False)
    master_key: str | None = field(default=None, repr=False)
    issuer: str | None = None
    audience: str | None = None
    max_token_ttl: int = MAX_TOKEN_TTL
    require_binding: bool = False
    webhook_allow_private: bool = False
    audit_archives: str | None = None
    log_format: LogFormat = "text"
    access_log: bool = False
    otel: bool = False

    def __post_init__(self) -> None:
        if self.bootstrap_api_key is not None and len(self.bootstrap_api_key) < SHORTEST_KEY:
            raise SettingsInvalid(
                f"ACT_BOOTSTRAP_API_KEY has {len(self.bootstrap_api_key)} characters; it needs {SHORTEST_KEY} or more."
            )
        if self.bootstrap_api_key is not None and not _SENDABLE.fullmatch(self.bootstrap_api_key):
            raise SettingsInvalid(
                "ACT_BOOTSTRAP_API_KEY has white space or characters that no header can carry; a line end, perhaps?"
            )
        if self.master_key is not None and len(self.master_key) < SHORTEST_MASTER_KEY:
            raise SettingsInvalid(
                f"ACT_MASTER_KEY has {len(self.master_key)} characters; it needs {SHORTEST_MASTER_KEY} or more."
            )
        if not self.host.strip():
            # For the operating system nothing is every address of the machine.
            raise SettingsInvalid("ACT_HOST is empty; name an address, or leave it out. 0.0.0.0 means all addresses.")
        if not 0 <= self.port <= 65535:
            raise SettingsInvalid(f"The port {self.port} is not between 0 and 65535.")
        if self.log_format not in FORMATS:
            raise SettingsInvalid(f"ACT_LOG_FORMAT is {self.log_format!r}; write {' or '.join(FORMATS)}.")
        if self.audit_archives is not None and not self.audit_archives:
            raise SettingsInvalid("ACT_AUDIT_ARCHIVES is empty; name a folder, or leave it out.")
        if self.max_token_ttl < 1:
            raise SettingsInvalid("ACT_MAX_TOKEN_TTL is a number of seconds, 1 or more.")
        for name in ("issuer", "audience"):
            value = getattr(self, name)
            if value is not None and (not value or any(c.isspace() or c == "+" for c in value)):
                raise SettingsInvalid(f"ACT_{name.upper()} cannot be empty, nor contain white space or '+'.")

    @staticmethod
    def from_environment(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Arguments that are not None, then `ACT_*` variables, then defaults.

        Raises:
            SettingsInvalid: names the variable.
        """
        variables = os.environ if environment is None else environment
        found: dict[str, Any] = {}
        for name, read in _READERS.items():
            variable = f"ACT_{name.upper()}"
            if (text := variables.get(variable)) is not None:
                found[name] = read(variable, text)
        return Settings(**(found | {name: value for name, value in given.items() if value is not None}))


def _text(_: str, text: str) -> str:
    return text


def _integer(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsInvalid(f"{variable} is {text!r}, not a whole number.") from None


def _flag(variable: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise SettingsInvalid(f"{variable} is {text!r}; write true or false.")


_READERS = {
    "database": _text,
    "host": _text,
    "port": _integer,
    "bootstrap_api_key": _text,
    "master_key": _text,
    "issuer": _text,
    "audience": _text,
    "max_token_ttl": _integer,
    "require_binding": _flag,
    "webhook_allow_private": _flag,
    "audit_archives": _text,
    "log_format": _text,
    "access_log": _flag,
    "otel": _flag,
}
