"""Sources whose photos may change while the parameters stay as they are: a user's folder, a prefix in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json, sha256_file


class Away(UserError):
    """The photos cannot be looked at now: the disk is not mounted, the server does not answer."""


class Seen:
    """The sha256 of files, computed again only for those whose size or time has changed.

    Args:
        index: where it is kept; one that is missing or broken costs time only.
    """

    def __init__(self, index: Path) -> None:
        self._index = index
        self._now: dict[str, Any] = {}
        try:
            before = read_json(index)
        except UserError:
            before = {}
        self._before = before if isinstance(before, dict) else {}

    def sha256(self, path: Path, name: str) -> str:
        """Of a file's bytes.

        Args:
            name: under which it is kept: its place in the source.

        Raises:
            OSError: it cannot be read.
        """
        facts = path.stat()
        stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
        known = self._before.get(name)
        if isinstance(known, list) and len(known) == 5 and known[:4] == stamp:
            digest = str(known[4])
        else:
            digest = sha256_file(path)
        self._now[name] = [*stamp, digest]
        return digest

    def keep(self) -> None:
        """Write down what was asked for.

        Raises:
            UserError: the index cannot be written.
        """
        atomic_write_json(self._index, self._now)


@runtime_checkable
class Watched(Protocol):
    """A source that can say what it holds without fetching it."""

    def content(self, seen: Seen) -> dict[str, str]:
        """What identifies the content of each photo, by its place as `train/a.png`.

        Args:
            seen: computes the sha256 of files on this machine.

        Raises:
            Away: it cannot be looked at now.
            UserError: it holds no photos.
        """
        ...
