"""Which resources and actions may be compared at all (2-semantics, "Patterns"; 6-threats, "Policies")."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.policies.globs import MAX_ACTION, MAX_RESOURCE, action_fault, resource_fault

INVISIBLE = "It contains a control, invisible or non-character code point."
SPACE = "It begins or ends with a space."
NFC = "It is not in Unicode normal form NFC."
BACKSLASH = "The resource contains a backslash; use '/'."
DOTS = "The resource has a '.' or '..' segment; send the path it leads to."
EMPTY_SEGMENT = "The resource has an empty path segment ('//'); send the path without it."
UNRESERVED_OR_SEPARATOR = string.ascii_letters + string.digits + "-._~" + ":/?#[]@!$&'()*+,;="


def ambiguous(escape: str) -> str:
    return f"The resource has the percent-escape {escape!r}, which can be read in two ways."


def needless(escape: str) -> str:
    return f"The resource has the percent-escape {escape!r}; write the character itself."


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        # control characters, and what cannot be seen
        ("api://a\x00", INVISIBLE),
        ("api://a\n", INVISIBLE),
        ("api://a\tb", INVISIBLE),
        ("api://a\x7f", INVISIBLE),
        ("api://a\x85b", INVISIBLE),
        ("api://a\u200db", INVISIBLE),
        ("api://a\u202eb", INVISIBLE),
        ("api://a\ufeff", INVISIBLE),
        ("api://a\u00a0b", INVISIBLE),
        ("api://a\ud800", INVISIBLE),
        ("api://a\uffff", INVISIBLE),
        # spaces at the ends
        ("api://a ", SPACE),
        (" api://a", SPACE),
        # . and .. segments
        ("..", DOTS),
        (".", DOTS),
        ("../etc/passwd", DOTS),
        ("api://tasks/../admin", DOTS),
        ("api://tasks/..", DOTS),
        ("api://tasks/./7", DOTS),
        ("api://tasks/.", DOTS),
        ("api://../admin", DOTS),
        ("api://tasks/..?x=1", DOTS),
        ("api://tasks/..#x", DOTS),
        ("api://tasks/..;v=1/admin", DOTS),
        ("file:../etc/passwd", DOTS),
        ("file:./notes", DOTS),
        # escapes of unreserved characters and separators
        ("api://tasks/%2e%2e/admin", needless("%2e")),
        ("api://tasks/%2E", needless("%2E")),
        ("api://tasks%2fadmin", needless("%2f")),
        ("api://tasks%2Fadmin", needless("%2F")),
        ("api://tasks%5cadmin", ambiguous("%5c")),
        ("api://tasks%5Cadmin", ambiguous("%5C")),
        ("api://t%61sks", needless("%61")),
        ("api://tasks%3Fx", needless("%3F")),
        # escapes of controls, twofold escapes, broken escapes
        ("api://tasks%00", ambiguous("%00")),
        ("api://tasks%0a", ambiguous("%0a")),
        ("api://tasks%7f", ambiguous("%7f")),
        ("api://tasks/%252e", ambiguous("%252e")),
        ("api://tasks/%", ambiguous("%")),
        ("api://tasks/%2", ambiguous("%")),
        ("api://tasks/%zz", ambiguous("%")),
        ("api://tasks/%u002e", ambiguous("%")),
        # backslashes
        ("api://tasks\\admin", BACKSLASH),
        ("\\\\host\\share", BACKSLASH),
        # empty segments
        ("api://tasks//admin", EMPTY_SEGMENT),
        ("//tasks", EMPTY_SEGMENT),
        ("tasks//", EMPTY_SEGMENT),
        ("file:////etc", EMPTY_SEGMENT),
        # length and normal form
        ("", "The resource is empty."),
        ("a" * (MAX_RESOURCE + 1), "The resource has more than 2048 characters."),
        ("api://cafe\u0301", NFC),
        ("api://\u212b", NFC),
    ],
)
def test_what_could_be_read_in_two_ways(resource: str, fault: str) -> None:
    assert resource_fault(resource) == fault


@pytest.mark.parametrize(
    "resource",
    [
        "a",
        "a" * MAX_RESOURCE,
        "api://tasks/execute/7",
        "api://tasks/execute/",
        "file:///etc/hosts",
        "https://user@host:8080/a/b?next=//elsewhere#x//y",
        "?a//b",
        "#a//b",
        "api://tasks/a..b/...",
        "api://tasks/.hidden/v1.2",
        "api://caf\u00e9/\u4e2d\u6587",
        "api://a/two words",
        "api://a/two%20words",
        "api://a/%7Bid%7D",
        "api://a/%C3%A9",
        "api://a/100%25",
        "urn:isbn:0-486-27557-4",
        "Executor-7",
        "sql://db/SELECT * FROM t",
    ],
)
def test_what_reads_in_one_way(resource: str) -> None:
    assert resource_fault(resource) is None


@pytest.mark.parametrize("character", UNRESERVED_OR_SEPARATOR)
def test_no_unreserved_character_and_no_separator_may_be_escaped(character: str) -> None:
    for escape in (f"%{ord(character):02x}", f"%{ord(character):02X}"):
        assert resource_fault(f"api://a{escape}b") == needless(escape)


@given(st.text(UNRESERVED_OR_SEPARATOR + "% \\\x00\u00e9\u0301", max_size=12))
def test_a_resource_without_fault_has_no_trap_left(resource: str) -> None:
    if resource_fault(resource) is not None:
        return
    assert resource == resource.strip()
    assert resource.isprintable()
    assert "\\" not in resource
    path = resource.split("?")[0].split("#")[0]
    assert not {".", ".."} & set(path.split("/"))
    assert "//" not in path.split("://", 1)[-1]


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        ("", "The action is empty."),
        ("a" * (MAX_ACTION + 1), "The action has more than 256 characters."),
        ("execute\x00", INVISIBLE),
        ("exe\u200bcute", INVISIBLE),
        ("execute ", SPACE),
        ("cafe\u0301", NFC),
        ("execute", None),
        ("a" * MAX_ACTION, None),
        ("tasks.execute:now", None),
        ("two words", None),
    ],
)
def test_actions(action: str, fault: str | None) -> None:
    assert action_fault(action) == fault
