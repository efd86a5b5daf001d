from __future__ import annotations

import logging

import pytest

import act as package
from act import Act, ActError, ServerError, Unauthorized, Unprocessable

from .wire import KEY, Reply, Server, problem

CLASSES = {
    400: package.BadRequest,
    401: package.Unauthorized,
    403: package.Forbidden,
    404: package.NotFound,
    409: package.Conflict,
    413: package.PayloadTooLarge,
    415: package.UnsupportedMediaType,
    422: package.Unprocessable,
    429: package.TooManyRequests,
    500: package.ServerError,
    503: package.ServerError,
    418: ActError,
}


@pytest.mark.parametrize("status", CLASSES)
def test_every_status_has_its_class(server: Server, status: int) -> None:
    server.answers(problem(status, "its_code"))
    with Act(server.url, KEY, retries=0) as act, pytest.raises(ActError) as caught:
        act.agents.get("a")
    error = caught.value
    assert type(error) is CLASSES[status]
    assert (error.status, error.code, error.request_id) == (status, "its_code", "req_9")
    assert error.problem is not None
    assert "What happened." in str(error)


def test_all_faults_are_told(act: Act, server: Server) -> None:
    faults = [{"pointer": "/name", "message": "Too long."}, {"pointer": "/roles/0", "message": "Empty."}]
    server.answers(problem(422, errors=faults))
    with pytest.raises(Unprocessable, match=r"/name: Too long\.\n  /roles/0: Empty\.") as caught:
        act.agents.create("n")
    assert [fault.pointer for fault in caught.value.errors] == ["/name", "/roles/0"]


def test_an_error_that_is_no_problem_document(act: Act, server: Server) -> None:
    server.answers(Reply(502, "<html>secret stack trace</html>", {"X-Request-ID": "req_7"}))
    with pytest.raises(ServerError) as caught:
        act.agents.create("n")
    assert caught.value.request_id == "req_7"
    assert "base URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_401_says_what_to_do(act: Act, server: Server) -> None:
    server.answers(problem(401))
    with pytest.raises(Unauthorized, match="ACT_API_KEY"):
        act.agents.get("a")


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://[::1", "http://user:seecret@x"])
def test_a_base_url_that_cannot_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="base URL") as caught:
        Act(url)
    assert "seecret" not in str(caught.value)


def test_a_key_that_cannot_be_one_is_not_shown() -> None:
    with pytest.raises(ValueError) as caught:
        Act("http://x", "act_seecret\n")
    assert "seecret" not in str(caught.value)


def test_settings_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACT_BASE_URL", server.url)
    monkeypatch.setenv("ACT_API_KEY", KEY)
    with Act() as act:
        assert act.enforce("token", "execute", "api://x")
    assert server.seen[0].headers["x-api-key"] == KEY


def test_no_secret_is_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Act(server.url, KEY) as act:
        guard = act.guard("eyJ.seecret.sig")
        server.answers(problem(500))
        found = guard.check("execute", "api://x")
        with pytest.raises(ActError) as caught:
            act.enforce("eyJ.seecret.sig", "a", "b", raise_on_error=True)
        error = caught.value
        everything = [repr(act), repr(guard), repr(found), str(error), repr(error), caplog.text]
    for text in everything:
        for secret in (KEY, "seecret"):
            assert secret not in text
    assert error.__cause__ is None
