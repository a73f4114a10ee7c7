"""A user's own photos in a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import copy_file, sha256_file, some_of
from pipeline.sources.photos import is_clutter, photo_problem
from pipeline.sources.source import SPLITS, Report
from pipeline.sources.watched import Away, Seen

_LAYOUT = "it needs train/ and test/, and may have valid/, with .png, .jpg or .jpeg files directly in them"
_EVERY = 5.0


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Photos in `root`/train, `root`/test and, optionally, `root`/valid; every one is decoded before any is taken.

    Without valid/, every tenth photo of train/, sorted by name, validates (the 10th, the 20th, ...); of fewer than ten
    the last. Hidden files are left out.

    Args:
        root: the folder.
        name: what messages call it, where that is not its path.
    """

    root: Path
    name: str | None = None

    def fetch(self, into: Path, report: Report) -> None:
        """See `Source.fetch`.

        Raises:
            UserError: the folder or a part is missing or empty; a photo is unreadable, damaged, tiny or no photo; two
                photos of a split differ in their ending alone; a photo stands in two splits.
        """
        found = self._found()
        self._require_sound([path for paths in found.values() for path in paths], report)
        splits = found if "valid" in found else _with_valid(found)
        self._require_apart(splits)
        for split in SPLITS:
            for path in splits[split]:
                copy_file(path, into / split / path.name)
        counts = ", ".join(f"{len(splits[split])} in {split}" for split in SPLITS)
        report(f"photos from {self._called}: {counts}")

    def content(self, seen: Seen) -> dict[str, str]:
        """See `Watched.content`."""
        if not self.root.is_dir():
            raise Away(f"the folder {self._called} of data.folder is not there")
        try:
            names = {self._short(path): path for paths in self._found().values() for path in paths}
            return {name: seen.sha256(path, name) for name, path in names.items()}
        except OSError as error:
            raise UserError(
                f"{self._called}: {error.filename} cannot be read ({error.strerror}): mend it or take it away"
            ) from error

    @property
    def _called(self) -> str:
        return self.name or str(self.root)

    def _found(self) -> dict[str, list[Path]]:
        if not self.root.is_dir():
            raise UserError(f"the folder {self._called} of data.folder is not there: {_LAYOUT}")
        found: dict[str, list[Path]] = {}
        for split in SPLITS:
            folder = self.root / split
            if split == "valid" and not folder.exists():
                continue
            try:
                found[split] = sorted(path for path in folder.iterdir() if not is_clutter(path.name))
            except OSError as error:
                raise UserError(f"{self._called}/{split} cannot be listed ({error.strerror}): {_LAYOUT}") from error
            if not found[split]:
                advice = "put photos in it, or take the folder away" if split == "valid" else "put photos in it"
                raise UserError(f"{self._called}/{split} holds no photos: {advice}")
        if "valid" not in found and len(found["train"]) < 2:
            raise UserError(f"{self._called}/train holds a single photo and valid/ is missing: add a photo to either")
        return found

    def _require_sound(self, paths: Sequence[Path], report: Report) -> None:
        problems, told = [], time.monotonic()
        for number, path in enumerate(paths, start=1):
            problem = photo_problem(path)
            if problem is not None:
                problems.append(f"{self._short(path)} ({problem})")
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                report(f"checking photos: {number} of {len(paths)}")
        if problems:
            count = "a file" if len(problems) == 1 else f"{len(problems)} files"
            raise UserError(
                f"{self._called} holds {count} that cannot be used: {some_of(problems)}. Mend or remove, then run again"
            )

    def _require_apart(self, splits: dict[str, list[Path]]) -> None:
        stems: dict[tuple[str, str], Path] = {}
        photos: dict[str, tuple[str, Path]] = {}
        problems = []
        for split, path in [(split, path) for split, paths in splits.items() for path in paths]:
            twin = stems.setdefault((split, path.stem.lower()), path)
            if twin is not path:
                problems.append(f"{self._short(path)} and {twin.name} differ only in their ending: rename one")
            other, same = photos.setdefault(sha256_file(path), (split, path))
            if other != split:
                problems.append(f"{self._short(path)} is the same photo as {self._short(same)} of {other}: keep one")
        if problems:
            raise UserError(f"{self._called}: {some_of(problems)}")

    def _short(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _with_valid(found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    train = found["train"]
    valid = train[9::10] or train[-1:]
    return found | {"train": sorted(set(train) - set(valid)), "valid": valid}
