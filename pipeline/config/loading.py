"""A profile's file to validated `Params`: every problem is found and told at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.common.errors import UserError
from pipeline.config.bounds import out_of_bounds, too_much_memory
from pipeline.config.gaps import missing
from pipeline.config.messages import explain
from pipeline.config.reading import Document, Place, Problem, read
from pipeline.config.searching import Suggestion
from pipeline.config.sections import Params

PARAMS_FILE = Path("params.yaml")


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and validate a profile.

    Raises:
        UserError: a file that is missing or no YAML, or the list of everything that is wrong in it, each with its
            line, its key, and what to do.
    """
    document = read(path)
    params, problems = _validate(document)
    if problems or params is None:
        raise UserError("\n".join(problem.text(path) for problem in problems))
    return params


@cache
def _adapter() -> TypeAdapter[list[Params]]:
    """Of a list, because only then the configuration holds for the plain dataclasses of the sections too."""
    return TypeAdapter(list[Params], config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def _validate(document: Document) -> tuple[Params | None, list[Problem]]:
    if document.problems:
        return None, list(document.problems)
    gaps = list(missing(document))
    try:
        # As JSON, because its lists become tuples while everything else stays strict.
        (params,) = _adapter().validate_json(json.dumps([document.values]))
    except ValidationError as error:
        found = [explain(one, document) for one in error.errors(include_url=False) if one["type"] != "missing"]
        return None, sorted([*found, *gaps], key=_by_line)
    if gaps:
        return None, sorted(gaps, key=_by_line)
    problems = [_at(document, place, message) for place, message in cross_check(params)]
    return params, sorted(problems, key=_by_line)


def cross_check(params: Params) -> Iterator[tuple[Place, str]]:
    """What no section can see alone: places and messages."""
    network, method, search = params.network, params.search.method, params.search
    yield from out_of_bounds(params)
    yield from too_much_memory(network, params.train.batch, params.train.patch)
    if method.min_channels > network.width:
        place: Place = ("search", "method", "min_channels")
        yield place, f"is more than the network has: {method.min_channels} > network.width {network.width}"
    if network.width % method.group:
        yield ("search", "method", "group"), f"does not divide network.width: {network.width} / {method.group}"
    if method.specific_points > network.points:
        message = f"is more than the network has: {method.specific_points} > {network.points} (3 x network.blocks + 3)"
        yield ("search", "method", "specific_points"), message
    if method.shared_points is not None and method.shared_points > network.points:
        message = f"is more than the network has: {method.shared_points} > {network.points} (3 x network.blocks + 3)"
        yield ("search", "method", "shared_points"), message
    for index, suggestion in enumerate(search.suggestions):
        yield from _check_suggestion(params, index, suggestion)
    crops, best_of = params.eval.test_crops, params.benchmark.best_of_27_crops
    if crops and best_of > crops:
        message = f"is more than there are: {best_of} > eval.test_crops {crops} (0 = all of them)"
        yield ("benchmark", "best_of_27_crops"), message


def _check_suggestion(params: Params, index: int, suggestion: Suggestion) -> Iterator[tuple[Place, str]]:
    search, place = params.search, ("search", "suggestions", index)
    if suggestion.variant not in search.variants:
        yield (*place, "variant"), f"{suggestion.variant} is not among search.variants: add it there or drop this point"
    for name in ("lambda1", "lambda2", "gamma"):
        value, span = getattr(suggestion, name), getattr(search.space, name)
        if value not in span:
            message = f"{value} is outside search.space.{name}, {span.low} to {span.high}: widen it or move the point"
            yield (*place, name), message


def _at(document: Document, place: Place, message: str) -> Problem:
    return Problem(line=document.line(place), place=place, message=message)


def _by_line(problem: Problem) -> tuple[int, str]:
    return problem.line or 0, str(problem.place)


def flatten(values: Any, prefix: str = "") -> dict[str, str | int | float | bool | None]:
    """Dotted names and scalars of `Params` or a section of it, for a tracker; a list of scalars becomes one text."""
    if is_dataclass(values):
        inside = {f.name: getattr(values, f.name) for f in fields(values)}
    elif isinstance(values, tuple) and any(is_dataclass(value) for value in values):
        inside = {str(index): value for index, value in enumerate(values)}
    else:
        return {prefix: ", ".join(map(str, values)) if isinstance(values, tuple) else values}
    return {
        name: scalar
        for key, value in inside.items()
        for name, scalar in flatten(value, f"{prefix}.{key}" if prefix else key).items()
    }
