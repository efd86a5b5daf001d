"""Policies: what agents may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from act.client.call import Call, get, nothing, path, post
from act.client.groups.group import AsyncGroup, Group
from act.models import Page, Policy, PolicyComparison, PolicyValidated, rfc3339

Draft = Mapping[str, Any] | BaseModel


def create_policy(draft: Draft | None, fields: Mapping[str, Any]) -> Call[Policy]:
    return _policy("POST", path("policies"), draft, fields)


def list_policies(cursor: str | None = None) -> Call[Page[Policy]]:
    return get(path("policies"), Page[Policy], {"cursor": cursor})


def get_policy(id: str) -> Call[Policy]:
    return get(path("policies", id), Policy)


def replace_policy(id: str, draft: Draft | None, fields: Mapping[str, Any], version: int | None) -> Call[Policy]:
    return _policy("PUT", path("policies", id), draft, fields, _if_match(version))


def restore_policy(id: str, version: int, current: int | None) -> Call[Policy]:
    return post(path("policies", id, "restore"), Policy, {"version": version}, headers=_if_match(current))


def validate_policy(draft: Draft | None, fields: Mapping[str, Any]) -> Call[PolicyValidated]:
    body = policy_body(draft, fields)
    return Call("POST", path("policies", "validate"), PolicyValidated.model_validate_json, body=body, idempotent=True)


def compare_policy(id: str, before: int, after: int) -> Call[PolicyComparison]:
    return get(path("policies", id, "compare"), PolicyComparison, {"from": str(before), "to": str(after)})


def delete_policy(id: str) -> Call[None]:
    return Call("DELETE", path("policies", id), nothing)


def policy_versions(id: str, cursor: str | None = None) -> Call[Page[Policy]]:
    return get(path("policies", id, "versions"), Page[Policy], {"cursor": cursor})


def _policy(
    method: str, at: str, draft: Draft | None, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Call[Policy]:
    # What the author wrote goes over as it is, null included: leaving it out could mean something else.
    return Call(method, at, Policy.model_validate_json, body=policy_body(draft, fields), headers=headers or {})


def policy_body(draft: Draft | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document from a draft as its author writes it (camelCase), or from snake_case fields, or both."""
    if isinstance(draft, BaseModel):
        draft = draft.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # An argument schema is the author's own text: the names in it are names of arguments.
    schema = {"arguments": fields["arguments"]} if "arguments" in fields else {}
    return {**(draft or {}), **_camel({name: value for name, value in fields.items() if name not in schema}), **schema}


def _camel(value: Any) -> Any:
    """Field names in camelCase; moments as ACT writes them. A value whose names are the author's is not for this."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {to_camel(name): _camel(item) for name, item in value.items()}
    return rfc3339(value) if isinstance(value, datetime) else value


def _if_match(version: int | None) -> dict[str, str]:
    """Change only this version; without one, whatever there is (RFC 9110, section 13.1.1)."""
    return {"If-Match": "*" if version is None else f'"v{version}"'}


class Policies(Group):
    """What agents may do."""

    def create(self, draft: Draft | None = None, /, **fields: Any) -> Policy:
        """Write a policy: a document as in 2-semantics (camelCase), or its fields in snake_case.

        Example:
            act.policies.create(name="Executor", actions=["execute"], resources=["api://tasks/*"],
                                applies_to={"roles": ["executor"]})
        """
        return self._send(create_policy(draft, fields))

    def list(self) -> Iterator[Policy]:
        return self._all(list_policies)

    def get(self, id: str) -> Policy:
        return self._send(get_policy(id))

    def replace(self, id: str, draft: Draft | None = None, /, *, version: int | None = None, **fields: Any) -> Policy:
        """Make the next version. Fields that are not given have their defaults, not their former values.

        With `version`, only if that is still the current one (412 otherwise).
        """
        return self._send(replace_policy(id, draft, fields, version))

    def restore(self, id: str, version: int, *, current: int | None = None) -> Policy:
        """Make an old version the next one; with `current`, only if that is still the current one."""
        return self._send(restore_policy(id, version, current))

    def validate(self, draft: Draft | None = None, /, **fields: Any) -> PolicyValidated:
        """All faults and warnings of a draft; stores nothing."""
        return self._send(validate_policy(draft, fields))

    def compare(self, id: str, before: int, after: int) -> PolicyComparison:
        """What changed from one version to another."""
        return self._send(compare_policy(id, before, after))

    def delete(self, id: str) -> None:
        self._send(delete_policy(id))

    def versions(self, id: str) -> Iterator[Policy]:
        return self._all(lambda cursor: policy_versions(id, cursor=cursor))


class AsyncPolicies(AsyncGroup):
    """What agents may do."""

    async def create(self, draft: Draft | None = None, /, **fields: Any) -> Policy:
        return await self._send(create_policy(draft, fields))

    def list(self) -> AsyncIterator[Policy]:
        return self._all(list_policies)

    async def get(self, id: str) -> Policy:
        return await self._send(get_policy(id))

    async def replace(
        self, id: str, draft: Draft | None = None, /, *, version: int | None = None, **fields: Any
    ) -> Policy:
        """Make the next version. Fields that are not given have their defaults, not their former values.

        With `version`, only if that is still the current one (412 otherwise).
        """
        return await self._send(replace_policy(id, draft, fields, version))

    async def restore(self, id: str, version: int, *, current: int | None = None) -> Policy:
        """Make an old version the next one; with `current`, only if that is still the current one."""
        return await self._send(restore_policy(id, version, current))

    async def validate(self, draft: Draft | None = None, /, **fields: Any) -> PolicyValidated:
        """All faults and warnings of a draft; stores nothing."""
        return await self._send(validate_policy(draft, fields))

    async def compare(self, id: str, before: int, after: int) -> PolicyComparison:
        """What changed from one version to another."""
        return await self._send(compare_policy(id, before, after))

    async def delete(self, id: str) -> None:
        await self._send(delete_policy(id))

    def versions(self, id: str) -> AsyncIterator[Policy]:
        return self._all(lambda cursor: policy_versions(id, cursor=cursor))
