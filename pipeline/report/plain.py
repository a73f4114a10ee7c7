"""Frozen dataclasses to plain JSON values and back, by their type hints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, numbers, strings and None; NaN and infinities become None.

    Raises:
        TypeError: a value that is no dataclass, mapping, tuple, list, number, string or None.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"a {type(value).__name__} has no place in JSON")


def from_plain(hint: Any, data: Any, where: str = "") -> Any:
    """The value of the hinted type that `to_plain` turned into `data`; null where a number is due becomes NaN.

    Args:
        hint: a dataclass, `tuple[X, ...]`, `tuple[X, Y]`, `dict[str, X]`, `X | None`, float, int, str or bool.
        where: path of `data`, for the message.

    Raises:
        ValueError: a key is missing, or a value is of another type. Unknown keys are passed over.
    """
    if is_dataclass(hint):
        return _record(hint, data, where)
    if get_origin(hint) is UnionType:
        if data is None:
            return None
        (hint,) = (option for option in get_args(hint) if option is not NoneType)
        return from_plain(hint, data, where)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), data, where)
    if get_origin(hint) is dict:
        _require(isinstance(data, dict), where, "an object", data)
        return {key: from_plain(get_args(hint)[1], item, f"{where}.{key}") for key, item in data.items()}
    if hint is float:
        number = isinstance(data, int | float) and not isinstance(data, bool)
        _require(number or data is None, where, "a number", data)
        return math.nan if data is None else float(data)
    _require(type(data) is hint, where, {int: "a whole number", str: "a text", bool: "true or false"}[hint], data)
    return data


def _record(hint: Any, data: Any, where: str) -> Any:
    _require(isinstance(data, dict), where, "an object", data)
    hints, values = get_type_hints(hint), {}
    for field in fields(hint):
        path = f"{where}.{field.name}".lstrip(".")
        if field.name in data:
            values[field.name] = from_plain(hints[field.name], data[field.name], path)
        elif field.default is MISSING:
            raise ValueError(f"{path} is missing")
    return hint(**values)


def _tuple(hints: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    _require(isinstance(data, list), where, "a list", data)
    each = [hints[0]] * len(data) if hints[-1] is Ellipsis else list(hints)
    _require(len(each) == len(data), where, f"a list of {len(each)}", data)
    return tuple(from_plain(h, item, f"{where}[{n}]") for n, (h, item) in enumerate(zip(each, data, strict=True)))


def _require(holds: bool, where: str, wanted: str, data: Any) -> None:
    if not holds:
        raise ValueError(f"{where or 'the document'} must be {wanted}, got {str(data)[:60]!r}")
