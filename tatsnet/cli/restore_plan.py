"""Which photos `tatsnet restore` restores into which files, settled before any work: no two meet in one file."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tatsnet.cli.errors import CommandError
from tatsnet.photos.files import FORMATS, Photo, list_images

_WILDCARDS = "*?["
_COMPARED = "-compare"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A photo and the file of its restoration.

    Attributes:
        photo: as it was named.
        target: where the restoration goes.
        fixed: the target's suffix was asked for; otherwise a transparent photo with a JPEG's name becomes a PNG.
        compare: write a comparison beside the target.
        in_place: the target is the photo, as was asked for.
    """

    photo: Path
    target: Path
    fixed: bool
    compare: bool
    in_place: bool = False

    def target_for(self, photo: Photo) -> Path:
        """The target once the photo is known: its format must be able to hold transparency."""
        if self.fixed or photo.alpha_HW is None or FORMATS.get(self.target.suffix.lower()) != "JPEG":
            return self.target
        return self.target.with_name(f"{self.target.name}.png")

    def comparisons(self, target: Path) -> list[Path]:
        """The file that shows the photo beside its restoration, if one is wanted."""
        return [target.with_name(f"{target.stem}{_COMPARED}{target.suffix}")] if self.compare else []


def plan(sources: Sequence[str], output: Path | None, suffix: str | None, *, compare: bool) -> list[Job]:
    """The jobs, in the order of the sources.

    Args:
        sources: photos, folders (the photos directly in them) and wildcard patterns that the shell has left.
        output: a file for one photo, or a folder; None takes each photo as its own target.
        suffix: of the targets in a folder; None keeps the photo's own.
        compare: write comparisons, too.

    Raises:
        CommandError: nothing to restore, or a target that is one of the photos.
        PhotoError: a folder cannot be listed.
    """
    photos = _photos(sources)
    if output is None:
        jobs = [Job(photo=photo, target=photo, fixed=True, compare=compare, in_place=True) for photo in photos]
        _check_no_photo_is_written(photos, [path for job in jobs for path in job.comparisons(job.target)])
        return jobs
    if _is_one_file(sources, photos, output):
        return [Job(photo=photos[0], target=output, fixed=True, compare=compare)]
    names = _names(photos, suffix)
    jobs = [
        Job(photo=photo, target=output / name, fixed=suffix is not None, compare=compare)
        for photo, name in zip(photos, names, strict=True)
    ]
    _check_no_photo_is_written(photos, [path for job in jobs for path in (job.target, *job.comparisons(job.target))])
    return jobs


def _photos(sources: Sequence[str]) -> list[Path]:
    """Every photo once, however often it is named."""
    found: dict[str, Path] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            matches = list_images(path)
            if not matches:
                raise CommandError(f"{path}: holds no photos ({', '.join(FORMATS)}); give another folder")
        elif not path.exists() and any(letter in source for letter in _WILDCARDS):
            matches = [match for name in sorted(glob.glob(source, recursive=True)) if (match := Path(name)).is_file()]
            if not matches:
                raise CommandError(f"{source}: matches no file; check the pattern")
        else:
            matches = [path]
        for match in matches:
            found.setdefault(os.path.realpath(match), match)
    return list(found.values())


def _is_one_file(sources: Sequence[str], photos: Sequence[Path], output: Path) -> bool:
    """Whether `-o` names a file: one photo was named, and the output is no folder and does not end like one."""
    named = len(sources) == 1 and photos == [Path(sources[0])]
    return named and not output.is_dir() and bool(output.suffix)


def _names(photos: Sequence[Path], suffix: str | None) -> list[str]:
    """A file name for each photo, no two alike where upper and lower case count the same.

    A name that several photos would have gets the name of each one's folder before it; where that does not tell them
    apart, a number.
    """
    plain = [_with_suffix(photo, suffix) for photo in photos]
    counts = Counter(map(_key, plain))
    taken: set[str] = {_key(name) for name in plain if counts[_key(name)] == 1}
    names = []
    for photo, name in zip(photos, plain, strict=True):
        if counts[_key(name)] > 1:
            name = _free(f"{photo.absolute().parent.name}-{name}", taken)
            taken.add(_key(name))
        names.append(name)
    return names


def _with_suffix(photo: Path, suffix: str | None) -> str:
    own = photo.suffix if photo.suffix.lower() in FORMATS else ".png"
    return f"{photo.stem}{suffix or own}"


def _key(name: str) -> str:
    """Names with the same key can meet in one file, or the comparison or the `.png` of one in the other's."""
    path = Path(name.casefold())
    if path.suffix == ".png" and Path(path.stem).suffix in FORMATS:
        path = Path(path.stem)
    return f"{path.stem.removesuffix(_COMPARED)}{path.suffix}"


def _free(name: str, taken: set[str]) -> str:
    stem, suffix = Path(name).stem, Path(name).suffix
    candidates = (f"{stem}{f'-{number}' if number > 1 else ''}{suffix}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if _key(candidate) not in taken)


def _check_no_photo_is_written(photos: Sequence[Path], targets: Sequence[Path]) -> None:
    inputs = {os.path.realpath(photo) for photo in photos}
    for target in targets:
        if os.path.realpath(target) in inputs:
            raise CommandError(
                f"{target} is one of the photos; give another folder with -o, or replace the photos with --in-place"
            )
