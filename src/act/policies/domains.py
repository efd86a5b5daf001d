"""`allowedDomains`: every host that a call names must be in the list (2-semantics, "Constraints").

Looked at are all texts anywhere in the arguments, keys too, for URLs and e-mail addresses (what counts as one, and what
is not seen, stands in `act.policies.mentions`), and `domain` and `domains` of the context. Arguments whose name is in
`HOST_FIELDS` must be a host, a URL or a list of e-mail addresses as a whole, so there a bare host name is seen too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from act.policies.hosts import Unreadable, canonical_host
from act.policies.mentions import hosts_in, hosts_of_field, names_none
from act.strict_json import below

# Compared without case, "_" and "-": replyTo, reply_to and Reply-To are one name.
HOST_FIELDS = frozenset(
    {"domain", "domains", "host", "hosts", "hostname", "hostnames", "url", "urls", "uri", "uris", "href"}
    | {"webhook", "webhookurl", "callbackurl", "baseurl", "email", "emails", "emailaddress", "emailaddresses"}
    | {"to", "cc", "bcc", "replyto", "recipient", "recipients"}
)
_EXAMPLE = 'write "example.com", or "*.example.com" for its subdomains'
_MAX_POINTER = 200
_SCALARS = frozenset((int, float, bool, type(None)))


@dataclass(frozen=True, slots=True)
class Domains:
    """`exact` hosts, and `parents` whose subdomains (not they themselves) are allowed. Empty allows nothing."""

    exact: frozenset[str]
    parents: frozenset[str]

    def contain(self, host: str) -> bool:
        """Whether a canonical host is in the list."""
        if host in self.exact:
            return True
        labels = host.split(".")
        return any(".".join(labels[at:]) in self.parents for at in range(1, len(labels)))

    @property
    def text(self) -> str:
        """The list as a reason names it."""
        return ", ".join(sorted(self.exact) + sorted(f"*.{parent}" for parent in self.parents)) or "none"

    def refused(self, arguments: Any, context: Mapping[str, Any]) -> str | None:
        """Which value leads outside the list or cannot be read in one way only, as a sentence; None when none does."""
        for pointer, value, field in _values(arguments):
            if field and not isinstance(value, str | bool | None):
                return f"{_place(pointer)} in the arguments must be a text that names a host, an address or a URL."
            if isinstance(value, str) and (fault := self._fault(value, hosts_of_field if field else hosts_in)):
                return f"{_place(pointer)} in the arguments {fault}."
        for pointer, value in _context_values(context):
            fault = self._fault(value, _one_host) if isinstance(value, str) else "is not the name of a domain"
            if fault:
                return f"{pointer} in the context {fault}."
        return None

    def _fault(self, value: str, hosts: Callable[[str], Iterable[str]]) -> str | None:
        try:
            for host in hosts(value):
                if not self.contain(host):
                    return f"leads to {host}, which is not among the allowed domains"
        except Unreadable as unreadable:
            return f"cannot be held against the allowed domains: {unreadable}"
        return None


def parse_domains(written: Sequence[object]) -> Domains | list[tuple[int, str]]:
    """The list that an author wrote, or what is wrong with it: the index of an entry and a sentence."""
    exact, parents, faults = set[str](), set[str](), list[tuple[int, str]]()
    for index, entry in enumerate(written):
        if not isinstance(entry, str):
            faults.append((index, f"A domain is a text; {_EXAMPLE}."))
            continue
        parent = entry.startswith("*.")
        try:
            (parents if parent else exact).add(canonical_host(entry[2:] if parent else entry))
        except Unreadable as unreadable:
            faults.append((index, f"{entry[:100]!r} is not a domain ({unreadable}); {_EXAMPLE}."))
    return faults or Domains(frozenset(exact), frozenset(parents))


def _one_host(value: str) -> tuple[str]:
    return (canonical_host(value),)


def _context_values(context: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "domain" in context:
        yield "/domain", context["domain"]
    if "domains" in context:
        listed = context["domains"]
        if isinstance(listed, list | tuple):
            yield from ((f"/domains/{index}", value) for index, value in enumerate(listed))
        else:
            yield "/domains", None


def _values(arguments: Any) -> Iterator[tuple[str, Any, bool]]:
    """Each key and each leaf with its pointer, in document order, and whether it is the value of a host field.

    Those that can lead nowhere are left out at once: there may be a hundred thousand.
    """
    left: list[tuple[str, Any, bool]] = [("", arguments, False)]
    while left:
        pointer, value, field = left.pop()
        if isinstance(value, Mapping):
            if field:
                yield pointer, value, True  # no object names a host in one way only
            yield from ((_below(pointer, key), key, False) for key in value if not _leads_nowhere(key))
            members = ((key, item, _is_host_field(key)) for key, item in reversed(list(value.items())))
            left.extend(
                (_below(pointer, key), item, host) for key, item, host in members if host or not _leads_nowhere(item)
            )
        elif isinstance(value, list | tuple):
            left.extend(
                (_below(pointer, index), value[index], field)
                for index in reversed(range(len(value)))
                if field or not _leads_nowhere(value[index])
            )
        else:
            yield pointer, value, field


def _below(pointer: str, name: Any) -> str:
    return below(pointer, str(name), _MAX_POINTER)


def _leads_nowhere(value: Any) -> bool:
    """Whether a key or a value names no host, unless it is the value of a host field."""
    kind = type(value)
    if kind is str:
        return names_none(value)
    return kind in _SCALARS or (not value and (kind is list or kind is dict))


def _is_host_field(key: Any) -> bool:
    return isinstance(key, str) and key.lower().replace("_", "").replace("-", "") in HOST_FIELDS


def _place(pointer: str) -> str:
    return pointer or "The value"
