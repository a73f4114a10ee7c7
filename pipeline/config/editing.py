"""A change to a profile's file that leaves its comments and everything else as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.common.files import atomic_write_bytes
from pipeline.config.loading import load
from pipeline.config.searching import Suggestion


def put_suggestions(path: Path, suggestions: Sequence[Suggestion]) -> None:
    """Replace `search.suggestions`, whole or not at all.

    Raises:
        UserError: a file that is missing, no profile, or cannot be written.
    """
    load(path)
    yaml = _round_trip()
    values = yaml.load(path.read_text(encoding="utf-8"))
    points = CommentedSeq()
    for suggestion in suggestions:
        point = CommentedMap(asdict(suggestion))
        point.fa.set_flow_style()
        points.append(point)
    values["search"]["suggestions"] = points
    text = io.StringIO()
    yaml.dump(values, text)
    atomic_write_bytes(path, text.getvalue().encode("utf-8"))


def _round_trip() -> YAML:
    """Writes what it read, byte by byte, in the style of the profiles."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    return yaml
