"""Training photos for workers on any node: a pack travels as the place where it lies, and is mapped into memory there.

A worker on a machine that has the project's folder maps that; any other fetches the pack from the store, once, into a
folder of its user.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.cluster.store import Store
from pipeline.common.datasets import PIXELS, SHAPES, load_pack, pack_digest
from pipeline.common.errors import UserError
from tatsnet.data.pairs import PhotoPack

CACHE = "~/.cache/tatsnet/packs"
"""Where a node keeps fetched packs."""


@dataclass(frozen=True)
class TravellingPack(PhotoPack):
    """A pack that is pickled as where it lies.

    Attributes:
        folder: on the machine that has made it.
        digest: of its pixels.
        store: from which others fetch it; None where all workers are on this machine.
    """

    folder: Path
    digest: str
    store: str | None

    @staticmethod
    def at(folder: Path, store: str | None) -> TravellingPack:
        """A pack of this project; it is put into the store, if there is one and it is not there.

        Raises:
            UserError: the pack is damaged, or the store does not answer.
        """
        digest = pack_digest(folder)
        if store:
            for name in (PIXELS, SHAPES):
                Store(store, digest).share(folder / name)
        return _mapped(folder.resolve(), digest, store)

    def __reduce__(self) -> tuple[Callable[..., PhotoPack], tuple[Path, str, str | None]]:
        return _arrived, (self.folder, self.digest, self.store)


def _mapped(folder: Path, digest: str, store: str | None) -> TravellingPack:
    pack = load_pack(folder)
    return TravellingPack(pack.pixels, pack.shapes, folder, digest, store)


def _arrived(folder: Path, digest: str, store: str | None) -> TravellingPack:
    cached = Path(CACHE).expanduser() / digest
    for place in (folder, cached):
        with suppress(UserError):
            if pack_digest(place) == digest:
                return _mapped(place, digest, store)
    if not store:
        raise UserError(f"this node has no photos in {folder}, and no store to fetch them from: set TATSNET_STORE")
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".fetching-") as scratch:
        fetched = Path(scratch) / digest
        fetched.mkdir()
        for name in (PIXELS, SHAPES):
            Store(store, digest).fetch(fetched / name)
        with suppress(OSError):  # another worker was faster
            fetched.rename(cached)
    return _mapped(cached, digest, store)
