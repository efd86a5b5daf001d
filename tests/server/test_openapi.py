"""The OpenAPI document says what the server does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic.json_schema import models_json_schema

from act.models import Decision, EnforceRequest
from tests.support import Api, Server

METHODS = {"get", "put", "post", "delete", "patch"}
PUBLIC = {"/metrics", "/healthz", "/readyz", "/.well-known/jwks.json"}
FORMS = ("jsonl", "csv", "ocsf")
REF = "#/components/schemas/"


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    with server.api(None) as api:
        found: dict[str, Any] = api.get("/openapi.json")
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method.upper(), item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_it_is_a_document_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"].keys() >= {"title", "version", "description"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = set(references(document))
    assert found
    assert all(reference.startswith(REF) and reference.removeprefix(REF) in schemas for reference in found)


def test_operations_are_told_apart(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) > 20


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", path)) == declared, f"{method} {path}"


def test_every_operation_but_the_public_ones_needs_an_api_key(document: dict[str, Any]) -> None:
    [scheme] = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-Api-Key")
    for path, method, operation in operations(document):
        assert bool(operation.get("security")) is (path not in PUBLIC), f"{method} {path}"


def test_problems_are_documented_as_what_they_are(document: dict[str, Any], api: Api) -> None:
    assert api.send("GET", "/v1/agents/nobody").headers["content-type"] == "application/problem+json"
    for path, method, operation in operations(document):
        for status in ("500",) if path in PUBLIC else ("401", "403", "422", "500"):
            content = operation["responses"][status]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}}, f"{method} {path}"


def test_only_problems_that_can_come_are_documented(document: dict[str, Any]) -> None:
    """Those of bodies are for calls with a body, and who needs no key is not refused for one."""
    of_bodies = {"400", "408", "409", "413", "415"}
    for path, method, operation in operations(document):
        found = operation["responses"].keys()
        if path in PUBLIC:
            assert found <= {"200", "500", "503"}, f"{method} {path}"
        elif method == "GET":
            assert found & of_bodies <= ({"413"} if path.endswith("/tree") else set()), f"{method} {path}"
        else:
            assert found >= of_bodies - ({"409"} if path == "/v1/enforce/batch" else set()), f"{method} {path}"


def test_what_is_archived_is_documented(document: dict[str, Any]) -> None:
    found = {f"{method} {path}" for path, method, op in operations(document) if "410" in op["responses"]}
    assert found == {
        "GET /v1/audit/{index}",
        "GET /v1/audit/export",
        "GET /v1/audit/tile/{tile}",
        "GET /v1/events",
        "POST /v1/audit/{index}/erase",
        "POST /v1/decisions/{decision_id}/outcome",
    }


def test_every_answer_has_its_media_types(document: dict[str, Any], api: Api) -> None:
    for path, query in (("/v1/audit/checkpoint", ""), *(("/v1/audit/export", f"?format={f}") for f in FORMS)):
        declared = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert api.send("GET", path + query).headers["content-type"].partition(";")[0] in declared


def test_every_documented_route_is_there_and_closed(document: dict[str, Any], server: Server) -> None:
    """Whoever sends no key learns nothing: not even what exists."""
    with server.api(None) as api:
        for path, method, _ in operations(document):
            response = api.send(method, re.sub(r"{\w+}", "x", path))
            code = response.json().get("code") if "json" in response.headers["content-type"] else None
            expected = (200, None) if path in PUBLIC else (401, "api_key_missing")
            assert (response.status_code, code) == expected, f"{method} {path}"


def test_every_documented_route_finds_what_there_is(document: dict[str, Any], api: Api) -> None:
    agent_id = api.agent()
    policy = api.policy(appliesTo={"agentIds": [agent_id]}, constraints={"requiresApproval": True})
    issued = api.post("/v1/tokens", {"agentId": agent_id})
    decision = api.enforce(issued["token"], "execute", "api://tasks/1")
    webhook = api.post("/v1/webhooks", {"url": "http://127.0.0.1:9/"})  # where nobody listens
    there = {
        "webhook_id": webhook["id"],
        "delivery_id": api.post(f"/v1/webhooks/{webhook['id']}/test", status=202)["id"],
        "agent_id": agent_id,
        "policy_id": policy["id"],
        "token_id": issued["tokenId"],
        "approval_id": decision["approval"]["id"],
        "decision_id": decision["decisionId"],
        "index": str(decision["audit"]["index"]),
        "tile": "0/000.p/1",
        "key_id": api.key("audit")["id"],
        "tenant_id": decision["tenantId"],
        "signing_key_id": next(key["kid"] for key in api.get("/v1/keys")["items"] if key["status"] == "next"),
    }
    # What deletes comes last, and the agent before all, so that the others are still there.
    order = {"GET": 0, "PUT": 1, "PATCH": 1, "POST": 2, "DELETE": 3}
    for path, method, _ in sorted(operations(document), key=lambda found: (order[found[1]], found[0])):
        query = "?limit=0" if path == "/v1/events" else ""  # it would not end
        response = api.send(method, re.sub(r"{(\w+)}", lambda found: there[found[1]], path) + query)
        assert response.status_code not in (404, 405, 500), f"{method} {path}: {response.text}"


def test_what_is_not_documented_is_not_there(document: dict[str, Any], api: Api) -> None:
    for path in ("/v1", "/v1/agent", "/v1/policies/x/y", "/metrics.json", "/redoc"):
        assert path not in document["paths"]
        problem = api.get(path, status=404)
        assert problem["code"] == "not_found"
        assert problem["detail"].startswith("There is nothing at")


def test_enforce_is_documented_with_the_models_that_it_reads_and_writes(document: dict[str, Any]) -> None:
    enforce = document["paths"]["/v1/enforce"]["post"]
    body = enforce["requestBody"]["content"]["application/json"]["schema"]
    answer = enforce["responses"]["200"]["content"]["application/json"]["schema"]
    assert (body, answer) == ({"$ref": f"{REF}EnforceRequest"}, {"$ref": f"{REF}Decision"})
    wanted = [(EnforceRequest, "validation"), (Decision, "serialization")]
    _, definitions = models_json_schema(wanted, ref_template=REF + "{model}")  # type: ignore[arg-type]
    documented = document["components"]["schemas"]
    for name in ("EnforceRequest", "Decision", "Verdict", "ReasonCode", "NearMiss", "DecidingPolicy"):
        assert documented[name] == _without_null_defaults(definitions["$defs"][name]), name
    assert documented["EnforceRequest"]["additionalProperties"] is False


def test_a_batch_is_documented_with_the_models_that_it_reads_and_writes(document: dict[str, Any], api: Api) -> None:
    batch = document["paths"]["/v1/enforce/batch"]["post"]
    body = batch["requestBody"]["content"]["application/json"]["schema"]
    answer = batch["responses"]["200"]["content"]["application/json"]["schema"]
    assert (body, answer) == ({"$ref": f"{REF}EnforceBatch"}, {"$ref": f"{REF}BatchDecisions"})
    schemas = document["components"]["schemas"]
    assert schemas["EnforceBatch"]["additionalProperties"] is False
    asked = schemas["EnforceBatch"]["properties"]["requests"]
    assert (asked["items"], asked["minItems"], asked["maxItems"]) == ({"$ref": f"{REF}EnforceRequest"}, 1, 100)
    items = schemas["BatchDecisions"]["properties"]["decisions"]["items"]
    assert items["anyOf"] == [{"$ref": f"{REF}Decision"}, {"$ref": f"{REF}Problem"}]
    once = {"requestId": "same", "capabilityToken": "x", "action": "a", "resourceId": "b"}
    requests = {"requests": [once, once | {"action": "c"}]}
    decision, problem = api.post("/v1/enforce/batch", requests, status=200)["decisions"]
    assert decision.keys() == schemas["Decision"]["properties"].keys()
    assert problem.keys() <= schemas["Problem"]["properties"].keys()


def _without_null_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """FastAPI does not write a default of null."""
    kept = {
        name: {key: value for key, value in field.items() if key != "default" or value is not None}
        for name, field in schema.get("properties", {}).items()
    }
    return schema | ({"properties": kept} if kept else {})


def test_an_answer_of_enforce_has_the_documented_fields(document: dict[str, Any], api: Api) -> None:
    schema = document["components"]["schemas"]["Decision"]
    answer = api.enforce(api.token(api.agent()), "execute", "api://tasks/1")
    assert answer.keys() == schema["properties"].keys()
    assert answer["reasonCode"] in document["components"]["schemas"]["ReasonCode"]["enum"]
