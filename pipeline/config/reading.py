"""YAML text to plain values, with the line of each. The values are those that DVC reads (YAML 1.2)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.common.errors import UserError

Place = tuple[str | int, ...]
"""Where a value stands: keys and list indices from the top of the file."""

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")}
_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}
_LARGEST, _LONGEST_NUMBER, _LONGEST_TEXT = 1_000_000, 40, 1000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file."""

    line: int | None
    place: Place
    message: str

    def text(self, path: Path) -> str:
        """`params.yaml:12: train.lr: what is wrong`."""
        where = f"{path}:{self.line}" if self.line else str(path)
        return ": ".join(part for part in (where, dotted(self.place), self.message) if part)


@dataclass(frozen=True)
class Document:
    """Plain values, the line on which each starts (counted from 1), and what is wrong in the YAML itself."""

    values: Any
    lines: dict[Place, int]
    problems: tuple[Problem, ...]

    def line(self, place: Place) -> int | None:
        """Line of a place, or of the nearest section around it that is in the file."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return self.lines[place[:end]]
        return None


class _NoAliases(Composer):
    """Refuses aliases, whose expansion has no bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            mark = self.parser.peek_event().start_mark
            raise MarkedYAMLError(problem="aliases (*name) are not read: write the value out", problem_mark=mark)
        return super().compose_node(parent, index)


def dotted(place: Place) -> str:
    """`("search", "suggestions", 0, "gamma")` as `search.suggestions[0].gamma`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path) -> Document:
    """Read a YAML file of plain values: text, numbers, booleans, null, lists and sections.

    Raises:
        UserError: the file is missing, unreadable, empty, or no YAML.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run from the project's folder, or name one with --params") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        return _parse(text, path)
    except MarkedYAMLError as error:
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise UserError(f"{where}: {error.problem or error}") from error
    except UserError:
        raise
    except Exception as error:  # a tag that does not fit its value raises whatever the constructor meets
        raise UserError(f"{path}: is not a YAML file: {' '.join(str(error).split())}") from error


def _parse(text: str, path: Path) -> Document:
    if len(text) > _LARGEST:
        raise UserError(f"{path}: has more than the {_LARGEST} characters of a profile: is it another file?")
    nodes = YAML(typ="safe", pure=True)
    nodes.Composer = _NoAliases
    node = nodes.compose(text)
    if node is None:
        raise UserError(f"{path}: is empty; `cp profiles/quick.yaml params.yaml` puts the quick profile there")
    lines: dict[Place, int] = {}
    problems = tuple(_inspect(node, (), lines))
    values = None if problems else YAML(typ="safe").load(text)  # as DVC does
    return Document(values, lines, problems)


def _inspect(node: Node, place: Place, lines: dict[Place, int]) -> Iterator[Problem]:
    """Fill in `lines`; yield keys that stand twice and values that are not plain."""
    line = lines.setdefault(place, node.start_mark.line + 1)
    if node.tag not in _PLAIN:
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        message = f"has a value of kind {kind}, which is not read here (quote it if it is meant as text)"
        yield Problem(line=line, place=place, message=message)
    elif isinstance(node, ScalarNode) and node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        message = f"has a number of {len(node.value)} characters, and {_LONGEST_NUMBER} are the most that are read"
        yield Problem(line=line, place=place, message=message)
    elif isinstance(node, ScalarNode) and (fault := _fault(node.value)):
        yield Problem(line=line, place=place, message=f"has a text {fault}")
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _inspect(item, (*place, index), lines)
    elif isinstance(node, MappingNode):
        yield from _inspect_keys(node, place, lines)


def _fault(text: str) -> str:
    """Why a text names nothing that a file, a run or an address could be called; empty where it may."""
    if len(text) > _LONGEST_TEXT:
        return f"of {len(text)} characters, and {_LONGEST_TEXT} are the most that are read"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        return "with a control character, or with half of one (a surrogate)"
    return ""


def _inspect_keys(node: MappingNode, place: Place, lines: dict[Place, int]) -> Iterator[Problem]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            message = f"a key must be text, got {json.dumps(str(key.value))} (quote it if it is meant)"
            yield Problem(line=line, place=place, message=message)
            continue
        inside = (*place, key.value)
        if inside in lines:
            message = f"stands twice, first on line {lines[inside]}: keep one"
            yield Problem(line=line, place=inside, message=message)
            continue
        lines[inside] = line
        yield from _inspect(value, inside, lines)
