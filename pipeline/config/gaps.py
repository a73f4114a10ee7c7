"""Keys that a profile lacks: each is told with the line to add, and none takes a value silently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML

import pipeline
from pipeline.config.reading import Document, Place, Problem, dotted
from pipeline.config.sections import Params

_EXAMPLE = Path(next(iter(pipeline.__path__))).parent / "profiles" / "quick.yaml"


def missing(document: Document) -> Iterator[Problem]:
    """A problem for every key of `Params` that stands nowhere in the file; a section's own keys are not listed too."""
    yield from _missing(document, Params, document.values, ())


def _missing(document: Document, kind: Any, values: Any, place: Place) -> Iterator[Problem]:
    if get_origin(kind) is tuple and isinstance(values, list):
        for index, item in enumerate(values):
            yield from _missing(document, get_args(kind)[0], item, (*place, index))
    if not is_dataclass(kind) or not isinstance(values, dict):
        return
    types = get_type_hints(kind)
    for field in fields(kind):
        inside = (*place, field.name)
        if field.name in values:
            yield from _missing(document, types[field.name], values[field.name], inside)
        else:
            yield Problem(line=document.line(inside), place=inside, message=_cure(inside))


def _cure(place: Place) -> str:
    key, section = place[-1], dotted(place[:-1])
    where = f"under `{section}`" if section else "at the left margin"
    try:
        value: Any = _example()
        for part in place:
            value = value[0 if isinstance(part, int) else part]
    except (OSError, LookupError, TypeError):
        return f"is missing: add `{key}: VALUE` {where}"
    if isinstance(value, dict):
        return f"is missing: add this section {where}; profiles/{_EXAMPLE.name} has one to copy"
    return f"is missing: add `{key}: {_written(value)}` {where} ({_written(value)} is the quick profile's)"


@cache
def _example() -> Any:
    return YAML(typ="safe").load(_EXAMPLE.read_text(encoding="utf-8"))


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(inner)}' for key, inner in value.items())}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
