"""The arguments of a call as its tool reads them.

Frameworks hand what a model wrote to pydantic before a tool gets it, and pydantic takes `"007"` for the integer 7: a
decision about the text would be one about another call than the one that runs. So what pydantic makes of the arguments
is asked about, and is what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def as_read(model: Any, arguments: Any) -> Any:
    """The arguments as `model` reads them, in JSON: without what it does not take, and without defaults.

    They stay as they are when `model` is no pydantic model, and when it does not take them: then nothing runs. They are
    None, about which nobody can ask, when JSON cannot say what it made of them, as with a `SecretStr`.
    """
    if not isinstance(arguments, Mapping) or not (isinstance(model, type) and issubclass(model, BaseModel)):
        return arguments
    try:
        read = model.model_validate(arguments)
    except Exception:  # noqa: BLE001 - validators of the application may raise anything
        return arguments
    try:
        said = read.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings="error")
        return said if model.model_validate(said) == read else None
    except Exception:  # noqa: BLE001 - and so may its serializers
        return None
