"""Take the wanted files out of a tar or zip archive.

What an archive holds is known before it is opened: `download` has checked its sha256. So its names and sizes are taken
as they are, and a caller decides where a file goes.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.common.files import writing

Wanted = Callable[[PurePosixPath], PurePosixPath | None]
"""From a file's path in the archive to the path to write it at, relative to the target folder; None leaves it out."""


def extract(archive: Path, into: Path, wanted: Wanted) -> list[Path]:
    """Write the wanted files below `into`; returns their paths, sorted.

    Raises:
        UserError: they cannot be written.
    """
    written: list[Path] = []
    for name, stream in _files(archive):
        target = wanted(PurePosixPath(name))
        if target is not None:
            written.append(into / target)
            with writing(written[-1]):
                written[-1].parent.mkdir(parents=True, exist_ok=True)
                with written[-1].open("wb") as file:
                    shutil.copyfileobj(stream, file)
    return sorted(written)


def _files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents; links and devices are left out."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    with packed.open(entry) as stream:
                        yield entry.filename, stream
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isreg() and (content := tar.extractfile(member)):
                    yield member.name, content
