"""Settings: arguments before variables before defaults, and a wrong one is a sentence that names it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from act.server.settings import Settings, SettingsInvalid

KEY = "k" * 32


def test_the_defaults_listen_to_this_machine_alone() -> None:
    settings = Settings.from_environment({})
    assert (settings.host, settings.port, settings.database) == ("127.0.0.1", 8377, "sqlite:///act.db")
    assert settings == Settings()
    assert settings.require_binding is False
    assert settings.webhook_allow_private is False


def test_variables_come_before_defaults_and_arguments_before_both() -> None:
    variables = {"ACT_PORT": "1", "ACT_HOST": "::1", "HOME": "/root", "ACT_UNKNOWN": "x"}
    settings = Settings.from_environment(variables, port=2, database=None)
    assert (settings.port, settings.host, settings.database) == (2, "::1", "sqlite:///act.db")


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("ACT_DATABASE", "sqlite:////tmp/x.db", "database", "sqlite:////tmp/x.db"),
        ("ACT_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("ACT_PORT", "0", "port", 0),
        ("ACT_PORT", "65535", "port", 65535),
        ("ACT_BOOTSTRAP_API_KEY", KEY, "bootstrap_api_key", KEY),
        ("ACT_ISSUER", "https://act.example", "issuer", "https://act.example"),
        ("ACT_AUDIENCE", "tools", "audience", "tools"),
        ("ACT_MAX_TOKEN_TTL", "60", "max_token_ttl", 60),
        ("ACT_REQUIRE_BINDING", "true", "require_binding", True),
        ("ACT_REQUIRE_BINDING", "YES", "require_binding", True),
        ("ACT_REQUIRE_BINDING", "1", "require_binding", True),
        ("ACT_REQUIRE_BINDING", "off", "require_binding", False),
        ("ACT_REQUIRE_BINDING", "", "require_binding", False),
        ("ACT_WEBHOOK_ALLOW_PRIVATE", "true", "webhook_allow_private", True),
        ("ACT_LOG_FORMAT", "json", "log_format", "json"),
        ("ACT_ACCESS_LOG", "yes", "access_log", True),
        ("ACT_OTEL", "1", "otel", True),
    ],
)
def test_each_variable_is_read(variable: str, text: str, name: str, value: Any) -> None:
    settings = Settings.from_environment({variable: text})
    assert asdict(settings) == asdict(Settings()) | {name: value}


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ACT_PORT", "http"),
        ("ACT_PORT", ""),
        ("ACT_PORT", "8377.0"),
        ("ACT_MAX_TOKEN_TTL", "1h"),
        ("ACT_MAX_TOKEN_TTL", "0"),
        ("ACT_MAX_TOKEN_TTL", "-60"),
        ("ACT_REQUIRE_BINDING", "ture"),
        ("ACT_REQUIRE_BINDING", "2"),
        ("ACT_WEBHOOK_ALLOW_PRIVATE", "ture"),
        ("ACT_LOG_FORMAT", "xml"),
        ("ACT_LOG_FORMAT", ""),
        ("ACT_ACCESS_LOG", "ture"),
        ("ACT_OTEL", "http://collector:4318"),
        ("ACT_BOOTSTRAP_API_KEY", "k" * 31),
        ("ACT_BOOTSTRAP_API_KEY", ""),
        ("ACT_ISSUER", ""),
        ("ACT_ISSUER", "two words"),
        ("ACT_ISSUER", "a+b"),
        ("ACT_AUDIENCE", "a\nb"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(SettingsInvalid, match=variable):
        Settings.from_environment({variable: text})


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none(port: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"The port {port} is not between 0 and 65535"):
        Settings.from_environment({"ACT_PORT": port})


def test_a_key_that_is_too_short_is_not_repeated() -> None:
    with pytest.raises(SettingsInvalid) as raised:
        Settings.from_environment({"ACT_BOOTSTRAP_API_KEY": "hunter2-hunter2"})
    assert "hunter2" not in str(raised.value)


def test_a_typo_in_an_argument_is_no_setting() -> None:
    with pytest.raises(TypeError):
        Settings.from_environment({}, databse="sqlite:///x")
