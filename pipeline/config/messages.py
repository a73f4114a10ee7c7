"""pydantic's findings in the words of somebody who edits the file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from pipeline.config.reading import Document, Place, Problem, dotted
from pipeline.config.sections import Params

_WANTED = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dataclass_type": "must be a section of `key: value` lines",
    "finite_number": "must be a finite number",
}

_SWITCHES = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
"""What YAML 1.1 took for true and false, and YAML 1.2, as DVC reads it, takes for text."""


def explain(error: Any, document: Document) -> Problem:
    """One of `ValidationError.errors()`, whose location starts with the index of a list around the values."""
    place: Place = tuple(error["loc"][1:])
    kind, value = error["type"], error["input"]
    if kind == "unexpected_keyword_argument":
        message = _unknown(place)
    elif kind == "literal_error":
        message = _not_a_choice(place, value, error["ctx"]["expected"])
    elif kind == "value_error":
        place, message = _narrow(place, value, str(error["ctx"]["error"]))
    elif kind in _WANTED:
        message = f"{_WANTED[kind]}, got {_shown(value)}{_hint(kind, value)}"
    else:
        message = f"{error['msg']}, got {_shown(value)}"
    return Problem(line=document.line(place), place=place, message=message)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hint(kind: str, value: Any) -> str:
    """What to type instead, where a number or a switch was meant."""
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _SWITCHES:
        return f": write {str(_SWITCHES[value.lower()]).lower()}"
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f": write {int(value)}"
    if kind not in ("int_type", "float_type") or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ": a finite number is needed"
    if kind == "float_type":
        return f", which is text: write {number!r} without quotes"
    return f", which is text: write {int(number)} without quotes" if number.is_integer() else ""


def _narrow(place: Place, section: Any, message: str) -> tuple[Place, str]:
    """A section's own complaint names its key first: point at that key."""
    name, _, rest = message.partition(" ")
    return ((*place, name), rest) if isinstance(section, dict) and name in section else (place, message)


def _not_a_choice(place: Place, value: Any, expected: str) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    near = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"must be one of {', '.join(choices)}, got {_shown(value)}{hint}"


def _unknown(place: Place) -> str:
    section, key = place[:-1], str(place[-1])
    known = [field.name for field in fields(_type_at(section))]
    near = get_close_matches(key, known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    elsewhere = [dotted(there) for there in _all_keys(Params, ()) if there[-1] == key]
    if elsewhere:
        return f"unknown key here; did you mean {elsewhere[0]!r}?"
    return f"unknown key; known here: {', '.join(known)}"


def _all_keys(section: Any, place: Place) -> Iterator[Place]:
    for name, kind in get_type_hints(section).items():
        yield (*place, name)
        if is_dataclass(kind):
            yield from _all_keys(kind, (*place, name))


def _type_at(place: Place) -> Any:
    """The dataclass at a place of `Params`."""
    kind: Any = Params
    for part in place:
        kind = get_args(kind)[0] if get_origin(kind) is tuple else get_type_hints(kind)[str(part)]
    return kind
