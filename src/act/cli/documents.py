"""Documents that people keep in files: YAML, or JSON in files named `*.json`; of one reading only.

Of YAML this reads what is JSON in another dress: no aliases, no tags, no merge keys, no duplicate keys; `yes` and `012`
are texts, and so is a timestamp. Anything else is a fault with its JSON pointer and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import click
import yaml

from act.strict_json import MAX_FAULTS, AmbiguousJson, Fault, MalformedJson, escape, faults_of, loads

_LARGEST: Final = 4 << 20
_CORE: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,4000})\Z")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Final[dict[str, Any]] = {"": None, "null": None, "~": None, "true": True, "false": False}


class Unreadable(ValueError):
    """The text is no such document; carries every fault."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


class _Loader(yaml.SafeLoader):
    """Composes the tree of nodes. What a plain scalar means is decided in `_scalar` and nowhere else."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        # An alias lets a small file stand for a huge document.
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def read_file(path: str) -> Any:
    """The document in a file; `-` is stdin.

    Raises:
        Unreadable: it is none.
        click.UsageError: the file cannot be opened.
    """
    try:
        with click.open_file(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}.") from None
    if len(data) > _LARGEST:
        raise Unreadable([Fault("", f"The file is larger than {_LARGEST} bytes.")])
    return read_json(data) if path.endswith(".json") else read_yaml(data)


def read_json(data: bytes) -> Any:
    """One JSON text, strictly. Raises `Unreadable`."""
    try:
        return loads(data)
    except AmbiguousJson as error:
        raise Unreadable(error.faults) from None
    except MalformedJson as error:
        raise Unreadable([Fault("", str(error))]) from None


def read_yaml(data: bytes) -> Any:
    """One YAML document, as the JSON value that it writes. Raises `Unreadable`."""
    try:
        loader = _Loader(data.decode("utf-8"))
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        faults: list[Fault] = []
        value = None if node is None else _value(node, "", faults)
    except UnicodeDecodeError:
        raise Unreadable([Fault("", "The file is not UTF-8 text.")]) from None
    except yaml.YAMLError as error:
        raise Unreadable([Fault("", _sentence(error))]) from None
    except RecursionError:
        raise Unreadable([Fault("", "The document is nested too deeply.")]) from None
    faults += faults_of(value)
    if faults:
        raise Unreadable(faults[:MAX_FAULTS])
    return value


def _value(node: yaml.Node, pointer: str, faults: list[Fault]) -> Any:
    if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
        return dict(_members(node, pointer, faults))
    if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
        return [_value(item, f"{pointer}/{at}", faults) for at, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.tag == _CORE + "str":
        return node.value if node.style is not None else _scalar(node.value)
    faults.append(Fault(pointer, f"{_place(node)}the tag {node.tag} is not read; write a plain value."))
    return None


def _members(node: yaml.MappingNode, pointer: str, faults: list[Fault]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != _CORE + "str":
            faults.append(Fault(pointer, f"{_place(key)}a key must be a text."))
            continue
        name: str = key.value
        here = f"{pointer}/{escape(name)}"
        if name in seen:
            faults.append(Fault(here, f"{_place(key)}the key occurs twice in one mapping."))
            continue
        seen.add(name)
        yield name, _value(value, here, faults)


def _scalar(text: str) -> Any:
    """A plain scalar: what JSON reads as null, true, false or a number is that; all else is a text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _place(node: yaml.Node) -> str:
    return f"Line {node.start_mark.line + 1}: " if node.start_mark else ""


def _sentence(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return f"{f'Line {mark.line + 1}: ' if mark else ''}{said}."
    return f"The text is not YAML: {str(error).splitlines()[0]}."
