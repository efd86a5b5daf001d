"""What stands in a request beside its body, read in one way only: parameters of the query, the path and headers.

FastAPI passes over parameters that it does not know, takes one of two of the same name, reads bytes that are no UTF-8
as something else, and numbers as Python reads them. A filter that is passed over finds everything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, get_args
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute

from act.problems import unprocessable
from act.strict_json import Fault, below

_NUMBER: Final = re.compile("[0-9]+|-[1-9][0-9]*")
_QUALITY: Final = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")  # RFC 9110, section 12.4.2


def refuse_nonsense(request: Request) -> None:
    """Refuse what the route of a request does not declare, what is there twice, and numbers that are not digits.

    Raises:
        ProblemError: 422, names all of it.
    """
    route = request.scope["route"]
    if isinstance(route, APIRoute) and (faults := [*_faults(request, route)]):
        raise unprocessable(faults, of="query")


def refuse_parameters(query: bytes) -> None:
    """Refuse every parameter, where a route has none.

    Raises:
        ProblemError: 422, names all of them.
    """
    if faults := [*_faults_of_query(query, {})]:
        raise unprocessable(faults, of="query")


def _faults(request: Request, route: APIRoute) -> Iterator[Fault]:
    declared = route.dependant
    query, headers = request.scope["query_string"], request.headers
    if query:
        yield from _faults_of_query(query, {field.alias: field for field in declared.query_params})
    for field in declared.path_params:
        yield from _faults_of_number(field, request.path_params[field.alias])
    for field in declared.header_params:
        values = headers.getlist(field.alias)
        if len(values) > 1:
            yield Fault(below("", field.alias), "Give it once.")
        for value in values[:1]:
            yield from _faults_of_number(field, value)


def _faults_of_query(query: bytes, declared: dict[str, Any]) -> Iterator[Fault]:
    # What is no UTF-8 becomes surrogates, and so does a byte that had to be percent-encoded (RFC 3986, section 2.1).
    text = query.decode("ascii", "surrogateescape")
    given = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
    for name, count in Counter(name for name, _ in given).items():
        pointer = below("", _shown(name))
        if name not in declared:
            yield Fault(pointer, "There is no such parameter.")
        elif count > 1:
            yield Fault(pointer, "Give it once.")
    for name, value in given:
        if _shown(value) != value or "\0" in value:
            yield Fault(below("", _shown(name)), "Send UTF-8 without NUL characters, percent-encoded.")
        elif name in declared:
            yield from _faults_of_number(declared[name], value)


def _faults_of_number(field: Any, value: str) -> Iterator[Fault]:
    annotation = field.field_info.annotation
    if (annotation is int or int in get_args(annotation)) and not _NUMBER.fullmatch(value):
        yield Fault(below("", field.alias), "Write a whole number, in digits alone.")


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def rather(accept: str | None, wanted: str, default: str) -> bool:
    """Whether who sends this `Accept` header (RFC 9110, section 12.5.1) would rather have one media type than another.

    What cannot be read of it is left out.
    """
    ranges = dict[str, float]()
    for part in (accept or "").lower().split(","):
        media, *parameters = (each.strip() for each in part.split(";"))
        weights = [each for each in parameters if each.startswith("q=")]
        quality = _QUALITY.fullmatch(weights[0]) if weights else None
        if not weights or quality:
            ranges[media] = max(ranges.get(media, 0.0), float(quality[1]) if quality else 1.0)
    return _weight(ranges, wanted) > _weight(ranges, default)


def _weight(ranges: dict[str, float], media: str) -> float:
    """Of the most specific range that holds a media type."""
    for each in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if each in ranges:
            return ranges[each]
    return 0.0
