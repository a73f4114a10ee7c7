"""A short name for the content of a stage's outputs, the same wherever and whenever DVC checks them out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_END = 1 << 16


def fingerprint(root: Path, outputs: Sequence[Path]) -> str:
    """Hash of the names, sizes, first and last 64 KiB of all files; of outputs that are not there too.

    Args:
        root: the folder that `outputs` are relative to.
        outputs: files and folders.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for output in outputs:
        for path in _files(root / output):
            digest.update(
                f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode(errors="surrogateescape")
            )
            digest.update(_ends(path))
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(inner for inner in path.rglob("*") if inner.is_file())


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(_END)
        file.seek(max(file.seek(0, os.SEEK_END) - _END, len(start)))
        return start + file.read()
