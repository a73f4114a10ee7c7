"""JSON from outside: of bounded size and depth, and without numbers that JSON does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

MOST_BYTES = 64 * 2**20


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON (RFC 8259) in UTF-8, has more than `MOST_BYTES`, or is nested too deeply.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES // 2**20} MiB")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
