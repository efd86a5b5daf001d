"""The mapping of tools as a file, YAML or JSON: what each tool stands for, apart from the code.

    tools:
      send_mail: {action: send, resource: "mail://{to}"}
      read_page: {action: read, resource: "web://{page}", labels: [untrusted]}
      add: {labels: []}

What is left out is as in `ToolSpec`. A file that can be read in two ways, or has a word that is not known, is refused:
a tool whose line was overlooked would be asked about as something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from act.integrations.mapping import ToolSpec

_WORDS: Final = frozenset({"action", "resource", "labels"})


def load_tools(path: str | Path) -> dict[str, ToolSpec]:
    """The tools of a mapping file by their names. YAML needs PyYAML (the extra `cli`), JSON nothing.

    Raises:
        ValueError: the file is not such a mapping; says where.
        OSError: the file cannot be read.
        ImportError: it is YAML and there is no PyYAML.
    """
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    try:
        document = json.loads(text, object_pairs_hook=_members) if file.suffix == ".json" else _yaml(text)
        return _tools(document)
    except (ValueError, TypeError, RecursionError) as fault:
        raise ValueError(f"{file}: {fault}") from None


def _tools(document: Any) -> dict[str, ToolSpec]:
    if not isinstance(document, dict) or set(document) != {"tools"} or not isinstance(document["tools"], dict):
        raise ValueError("a mapping file has one member, `tools`, with the tools by their names")
    return {_name(name): _spec(name, given) for name, given in document["tools"].items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of a tool is a text, not {name!r}")
    return name


def _spec(name: str, given: Any) -> ToolSpec:
    if not isinstance(given, dict) or not set(given) <= _WORDS:
        raise ValueError(f"tool {name!r} has the members action, resource and labels, and no others")
    for word in ("action", "resource"):
        if word in given and not (isinstance(given[word], str) and given[word]):
            raise ValueError(f"the {word} of tool {name!r} is a text")
    if "labels" in given and not isinstance(given["labels"], list):
        raise ValueError(f"the labels of tool {name!r} are a list; an empty one says that it reads nothing")
    try:
        return ToolSpec(**given)
    except (ValueError, TypeError) as fault:
        raise ValueError(f"tool {name!r}: {fault}") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses names that stand twice, which YAML readers commonly take the last of."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            if len(set(keys)) != len(keys):
                raise ValueError(f"a name stands twice in one mapping, in line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as fault:
        raise ValueError(f"is not YAML: {fault}") from None
