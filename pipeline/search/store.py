"""Where trials leave their networks: a folder of any file system that fsspec knows, so local disk or `s3://`."""

from __future__ import annotations

from pathlib import Path

import fsspec  # type: ignore[import-untyped]


class Store:
    """Files by trial key.

    Args:
        url: a local folder or `s3://bucket/prefix`; what every worker can reach.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._base = fsspec.url_to_fs(url)

    def put(self, key: str, folder: Path) -> None:
        """Copy a folder's files under the key."""
        place = f"{self._base}/{key}"
        self._files.makedirs(place, exist_ok=True)
        for path in sorted(folder.iterdir()):
            self._files.pipe_file(f"{place}/{path.name}.part", path.read_bytes())
            self._files.mv(f"{place}/{path.name}.part", f"{place}/{path.name}")

    def get(self, key: str, folder: Path) -> None:
        """Copy what lies under the key into a folder.

        Raises:
            FileNotFoundError: nothing lies there.
        """
        for name in self._files.ls(f"{self._base}/{key}", detail=False):
            if not name.endswith(".part"):
                (folder / Path(name).name).write_bytes(self._files.cat_file(name))
