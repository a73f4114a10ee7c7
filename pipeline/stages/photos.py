"""Stage photos: looks, each time, whether the photos of the source have changed, so that `dvc repro` fetches them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json
from pipeline.common.layout import PHOTOS_FILE, STATE, home
from pipeline.common.progress import say
from pipeline.config import Params
from pipeline.sources import DataConfig, make_source
from pipeline.sources.watched import Away, Seen, Watched
from pipeline.stages.runner import look


def work(root: Path, params: Params) -> None:
    """Write `data/photos.json`: another content where a photo was added, changed or taken away.

    Photos that cannot be looked at now are taken as unchanged where they were looked at before, with one line.

    Raises:
        UserError: there are no photos, or they cannot be looked at and never were.
    """
    data, target = params.data, root / PHOTOS_FILE
    source = make_source(data, root)
    content: dict[str, Any] = {"source": data.source, "place": _place(data)}
    if isinstance(source, Watched):
        seen = Seen(home(root) / STATE / "photos.json")
        try:
            found = source.content(seen)
        except Away as error:
            if _before(target).get("place") != content["place"]:
                raise
            say(f"photos  {error}. They are taken as unchanged")
            return
        seen.keep()
        lines = "".join(f"{identity}  {name}\n" for name, identity in sorted(found.items()))
        content |= {"photos": len(found), "sha256": hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()}
    atomic_write_json(target, content)


def _place(data: DataConfig) -> str | None:
    return data.folder if data.source == "folder" else data.uri if data.source == "s3" else None


def _before(path: Path) -> dict[str, Any]:
    try:
        before = read_json(path)
    except UserError:
        return {}
    return before if isinstance(before, dict) else {}


if __name__ == "__main__":
    raise SystemExit(look("photos", "looks whether the photos of the source have changed", work))
