"""Where trials leave their networks and checkpoints: any file system that fsspec knows, so local disk or `s3://`.

networks/KEY/*                       of an ended trial; record.json comes last and says that the rest is there
checkpoints/KEY/ITERATION.safetensors  of one under way: the last KEPT
shared/KEY/*                       large files for all nodes, as packed photos
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped]

from pipeline.common.errors import UserError

RECORD = "record.json"
KEPT = 2
"""Checkpoints of a trial: should the newest be damaged, one rung more is lost and not the trial."""

_SAID = 250
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class StoreAway(UserError):
    """The store could not be read or written: nobody there, wrong keys, a full disk. It may answer another time."""


class Store:
    """Files of one study by trial key; every file appears whole or not at all.

    Where it does not do what it is asked, every method raises StoreAway, but for `forget`, which does what it can.

    Args:
        url: a local folder or `s3://bucket/prefix`; what the driver and every worker can reach.
        study: whose files they are.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url, self.study = url, study
        self._files, self._base = _opened(url)

    def check(self) -> None:
        """See whether it can be read.

        Raises:
            StoreAway: it cannot be: no such bucket, wrong keys, nobody there.
        """
        with self._reaching("; `python -m infra.bucket` makes a bucket"):
            try:
                self._files.ls(f"{self._base}/networks/{self.study}")
            except FileNotFoundError as error:
                if error.__cause__ is not None:
                    raise
                # nothing was written yet

    def put(self, key: str, folder: Path, record: dict[str, Any]) -> None:
        """Keep an ended trial: a folder's files, and then its record; its checkpoints go."""
        for path in sorted(folder.iterdir()):
            self._write(f"networks/{self.study}/{key}/{path.name}", path.read_bytes())
        self._write(f"networks/{self.study}/{key}/{RECORD}", json.dumps(record, allow_nan=False).encode())
        self.forget(key)

    def get(self, key: str, folder: Path) -> None:
        """Copy an ended trial's files into a folder.

        Raises:
            FileNotFoundError: nothing lies there.
        """
        names = self._names(f"networks/{self.study}/{key}")
        if not names:
            raise FileNotFoundError(f"no network of trial {key} in {self.url}")
        for name in names:
            if not name.endswith((".part", RECORD)):
                with self._reaching():
                    data = self._files.cat_file(name)
                (folder / PurePosixPath(name).name).write_bytes(data)

    def record(self, key: str) -> dict[str, Any] | None:
        """What an ended trial was kept with; None for one that has not ended."""
        text = self.file(key, RECORD)
        return None if text is None else dict(json.loads(text))

    def file(self, key: str, name: str) -> bytes | None:
        """One of an ended trial's files; None without."""
        with self._reaching():
            try:
                data: bytes = self._files.cat_file(f"{self._base}/networks/{self.study}/{key}/{name}")
            except FileNotFoundError:
                return None
        return data

    def keep(self, key: str, iteration: int, checkpoint: bytes) -> None:
        """Keep a checkpoint; those before the last KEPT go."""
        self._write(f"checkpoints/{self.study}/{key}/{iteration:09d}.safetensors", checkpoint)
        self._remove(key, KEPT)

    def reached(self, key: str) -> int:
        """The iteration of a trial's newest checkpoint; 0 without one."""
        names = self._checkpoints(key)
        return int(PurePosixPath(names[0]).stem) if names else 0

    def checkpoints(self, key: str) -> Iterator[bytes]:
        """A trial's checkpoints, the newest first."""
        for name in self._checkpoints(key):
            with self._reaching():
                data = self._files.cat_file(name)
            yield data

    def forget(self, key: str) -> None:
        """Remove a trial's checkpoints, as far as the store is there: nobody reads what stays."""
        self._remove(key, 0)

    def share(self, path: Path) -> None:
        """Put a large file there for all nodes, under its own name, unless it is there."""
        place = f"{self._base}/shared/{self.study}/{path.name}"
        with self._reaching():
            if not self._files.exists(place) or self._files.size(place) != path.stat().st_size:
                if not isinstance(self._files, LocalFileSystem):  # an object appears whole, and needs no folder
                    self._files.put_file(str(path), place)
                    return
                self._files.makedirs(str(PurePosixPath(place).parent), exist_ok=True)
                self._files.put_file(str(path), f"{place}.part")
                self._files.mv(f"{place}.part", place)

    def fetch(self, path: Path) -> None:
        """Copy a shared file of this name to a path."""
        with self._reaching():
            self._files.get_file(f"{self._base}/shared/{self.study}/{path.name}", str(path))

    def _remove(self, key: str, kept: int) -> None:
        with suppress(StoreAway), self._reaching():
            folder = f"checkpoints/{self.study}/{key}"
            for name in (
                self._checkpoints(key)[kept:] if kept else self._names(folder)
            ):  # what a kill left half-written too
                self._files.rm_file(name)

    def _checkpoints(self, key: str) -> list[str]:
        names = self._names(f"checkpoints/{self.study}/{key}")
        return sorted((name for name in names if name.endswith(".safetensors")), reverse=True)

    def _names(self, folder: str) -> list[str]:
        with self._reaching():
            try:
                return list(self._files.ls(f"{self._base}/{folder}", detail=False))
            except FileNotFoundError:
                return []

    def _write(self, name: str, data: bytes) -> None:
        place = f"{self._base}/{name}"
        with self._reaching():
            if not isinstance(self._files, LocalFileSystem):  # an object appears whole, and needs no folder
                self._files.pipe_file(place, data)
                return
            self._files.makedirs(str(PurePosixPath(place).parent), exist_ok=True)
            self._files.pipe_file(f"{place}.part", data)
            self._files.mv(f"{place}.part", place)

    @contextmanager
    def _reaching(self, more: str = "") -> Iterator[None]:
        try:
            yield
        except StoreAway:
            raise
        except Exception as error:  # every kind of file system has its own
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise StoreAway(
                f"cannot use the store {self.url} ({said[:_SAID]}): check TATSNET_STORE, its space, AWS_ENDPOINT_URL "
                f"and the AWS_ keys{more}"
            ) from error


def place_of_all() -> str | None:
    """The store that this machine and every node reach, as TATSNET_STORE names it; None without."""
    return os.environ.get("TATSNET_STORE", "").rstrip("/") or None


def _opened(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a place and the path in it; fsspec would take `::` in a folder's name for a chain of places.

    Raises:
        UserError: no such kind of place, or its package is not there.
    """
    if not _SCHEME.match(url):
        return LocalFileSystem(), str(Path(url).absolute())
    try:
        files, base = fsspec.url_to_fs(url, use_listings_cache=False)
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"TATSNET_STORE={url} cannot be used ({' '.join(str(error).split())}): name a folder that all nodes see or "
            "s3://bucket/prefix"
        ) from error
    return files, str(base)
