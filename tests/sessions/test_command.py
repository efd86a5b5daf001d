"""`actctl outcome` with labels and created resources."""

from __future__ import annotations

import subprocess

from tests.support import Api, Server, actctl, environment


def test_labels_and_created_resources(server: Server, api: Api) -> None:
    agent = api.agent()
    api.policy(["read"], appliesTo={"agentIds": [agent]})
    decision = api.enforce(api.token(agent), "read", "x")
    notes = ("--label", "untrusted", "--label", "pii", "--created", "file://a")
    done = subprocess.run(
        [actctl(), "outcome", decision["decisionId"], "succeeded", *notes],
        env=environment({"ACT_BASE_URL": server.url, "ACT_API_KEY": server.admin_key}),
        capture_output=True,
        check=True,
        text=True,
    )
    assert "succeeded" in done.stdout
    record = api.get("/v1/audit", params={"kind": "decision.outcome", "order": "desc", "limit": 1})["items"][0][
        "record"
    ]
    assert record["decisionId"] == decision["decisionId"]
    assert (record["labels"], record["created"]) == (["pii", "untrusted"], ["file://a"])
