"""The OpenAPI document: FastAPI's own, plus the one route that is not FastAPI's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from act.enforcement.batch import BATCH_PATH
from act.enforcement.route import PATH
from act.idempotency.claim import KEY_FORM
from act.idempotency.middleware import HEADER, REPLAYED, takes_key
from act.models import BatchDecisions, Decision, EnforceBatch, EnforceRequest, Problem, Scope
from act.server.problems import MEDIA_TYPE
from act.tenants.access import Access
from act.tenants.tenant import ApiKey

DESCRIPTION = """\
The permission and enforcement layer for systems of AI agents.

Two credentials, never one: the API key (`X-Api-Key`) says which caller this is, the capability token (in the body)
says which agent acts. Every problem is `application/problem+json` (RFC 9457); a body that has faults is a 422 that
lists all of them with JSON pointers, and nothing is changed.

A call that changes something takes an `Idempotency-Key`: sent again with the same key within 24 hours it is answered
again, and not carried out again.
"""

_REFERENCE = "#/components/schemas/{model}"


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
    }


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _problem(description)
    for status, description in {
        400: "The body is not JSON.",
        401: "No valid API key.",
        403: "The API key lacks the scope.",
        404: "Not there, or not in this tenant.",
        408: "The body did not arrive within 15 seconds.",
        409: "Contradicts what is stored.",
        413: "The body is over 256 KB.",
        415: "The body is not declared as JSON in UTF-8, or is coded.",
        422: "The document, or the query, has faults.",
        500: "The server failed.",
        503: "Nothing durable is possible now.",
    }.items()
}
"""What any route may answer; `complete` takes from each what cannot come."""
_OF_BODIES = frozenset(("400", "408", "409", "413", "415"))
_ARCHIVED = "Archived: it is in a file beside the database."
_OTHER_VERSION = "The policy is of another version than `If-Match` says."
_MORE: dict[tuple[str, str], dict[str, str]] = {
    ("get", "/v1/audit/{index}"): {"410": _ARCHIVED},
    ("get", "/v1/audit/export"): {"410": _ARCHIVED},
    ("get", "/v1/audit/tile/{tile}"): {"410": _ARCHIVED},
    ("get", "/v1/events"): {"410": _ARCHIVED},
    ("post", "/v1/audit/{index}/erase"): {"410": _ARCHIVED},
    ("post", "/v1/decisions/{decision_id}/outcome"): {"410": _ARCHIVED},
    ("get", "/v1/delegations/{token_id}/tree"): {"413": "The tree is too large."},
    ("put", "/v1/policies/{policy_id}"): {"412": _OTHER_VERSION, "428": "`If-Match` is missing."},
    ("post", "/v1/policies/{policy_id}/restore"): {"412": _OTHER_VERSION, "428": "`If-Match` is missing."},
    ("delete", "/v1/policies/{policy_id}"): {"412": _OTHER_VERSION},
}
"""What single routes answer besides, by method and path."""

_BEFORE_DECIDING: dict[int, dict[str, str]] = {
    400: {"json_malformed": "the body is not JSON"},
    401: {"api_key_missing": "there is no API key", "api_key_invalid": "it is unknown, revoked or expired"},
    403: {"scope_missing": "the API key lacks the scope `enforce`"},
    405: {"method_not_allowed": "the method is not POST"},
    408: {"body_timeout": "the body did not arrive within 15 seconds"},
    413: {"body_too_large": "the body is over 256 KB"},
    415: {"media_type_unsupported": "the body is not declared as JSON in UTF-8, or is coded"},
    422: {"document_invalid": "the document, or the query, has faults"},
    500: {"internal_error": "the server failed"},
}
DECISION_PROBLEMS: dict[str, dict[int, dict[str, str]]] = {
    PATH: _BEFORE_DECIDING
    | {
        409: {"request_id_reused": "the requestId was used for something else"},
        503: {
            "overloaded": "nothing durable is possible now",
            "stale_state": "the state is older than `minRevision`, or the server has lost it",
        },
    },
    # What becomes of one request of a batch stands in its place.
    BATCH_PATH: _BEFORE_DECIDING,
}
"""All codes of the problems that a call for decisions is answered with, by status, and what each says."""

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{KEY_FORM}$"},
    "description": "Your own name for this call, the same for every retry of it. An answer that is given again has the "
    f"header `{REPLAYED}: true`.",
}


def complete(app: FastAPI) -> None:
    """Add to the document what no route declares by itself: the form of a problem, and the idempotency key."""
    described = app.openapi

    def document() -> dict[str, Any]:
        found = described()
        problem = Problem.model_json_schema(ref_template=_REFERENCE, by_alias=True)
        found["components"]["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
        for path, item in found["paths"].items():
            for method, operation in item.items():
                _fit(method, path, operation)
        for path, problems in DECISION_PROBLEMS.items():
            operation = found["paths"][path]["post"]
            documented = {
                str(status): _problem(
                    "; ".join(f"`{code}`: {meaning}" for code, meaning in problems[status].items()) + "."
                )
                for status in sorted(problems)
            }
            operation["responses"] = {"200": operation["responses"]["200"]} | documented
        for path, item in found["paths"].items():
            for method, operation in item.items():
                parameters = operation.get("parameters", [])
                if takes_key(method.upper(), path) and IDEMPOTENCY_KEY not in parameters:
                    operation["parameters"] = [*parameters, IDEMPOTENCY_KEY]
        return found

    app.openapi = document  # type: ignore[method-assign] # the way that FastAPI documents


def _fit(method: str, path: str, operation: dict[str, Any]) -> None:
    """Leave the problems that this operation may answer; without a key that is a failure alone."""
    answers = operation["responses"]
    gone = {str(status) for status in PROBLEMS if str(status) != "500"} if not operation.get("security") else set()
    if method == "get":
        gone |= _OF_BODIES
    own = {status for status in gone & answers.keys() if MEDIA_TYPE not in answers[status].get("content", {})}
    for status in gone - own:
        answers.pop(status, None)
    answers |= {status: _problem(said) for status, said in _MORE.get((method, path), {}).items()}
    operation["responses"] = dict(sorted(answers.items()))


def enforce_stub(access: Access) -> APIRouter:
    """Documents `POST /v1/enforce` and `/v1/enforce/batch`; requests never arrive here (see `act.enforcement`)."""
    router = APIRouter(tags=["decisions"])
    needed = Depends(access.requires(Scope.ENFORCE))

    @router.post("/v1/enforce")
    def enforce(body: EnforceRequest, caller: ApiKey = needed) -> Decision:
        """May this agent do this? 200 with a decision for everything that concerns the agent, bad tokens included."""
        raise AssertionError("served outside FastAPI")

    @router.post("/v1/enforce/batch")
    def enforce_batch(body: EnforceBatch, caller: ApiKey = needed) -> BatchDecisions:
        """Up to 100 questions, decided in their order, each with its own record. A request that cannot be decided has
        a problem in its place, which says `denied`; the others are decided all the same. A body with faults is a 422,
        and then nothing was decided.
        """
        raise AssertionError("served outside FastAPI")

    return router
