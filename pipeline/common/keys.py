"""What the stages hand on beside weights: figures of the dense network, code version, keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tatsnet

RESULT_FOLDERS = (
    "tatsnet/network",
    "tatsnet/method",
    "tatsnet/data",
    "tatsnet/quality",
    "pipeline/search/trial",
    "pipeline/search/study",
)
"""The code, subfolders and all, that decides what a training or a trial comes to."""


def code_version(*more: str) -> str:
    """Hash of the source that trains and measures: trials of another code are other trials.

    Args:
        more: folders of the library that count too, as `runtimes`.
    """
    digest, root = hashlib.sha256(), Path(tatsnet.__file__).parent.parent
    for folder in (*RESULT_FOLDERS, *(f"tatsnet/{name}" for name in more)):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def key_of(parts: Mapping[str, Any]) -> str:
    """A short hash of JSON values (dataclasses taken as mappings)."""
    text = json.dumps(parts, sort_keys=True, default=lambda value: asdict(value))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
