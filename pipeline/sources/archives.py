"""Take photos out of a tar or zip archive without trusting it.

Only files that the caller asks for are written, each as a regular file at the path that the caller chose. An archive
is refused as a whole, before anything is written, when one of its names leads outside, when a wanted member is a link
or a device, or when it is larger than its limits.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from pipeline.common.errors import UserError
from pipeline.common.files import writing

_CHUNK = 1 << 20
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # zipfile's answer to an encrypted member and to an unknown compression
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that an archive may hold: members of any kind, and bytes when unpacked."""

    members: int
    bytes: int


@dataclass(frozen=True)
class Member:
    """One entry of an archive: its name there, its unpacked bytes, what it is (links and devices are `other`)."""

    name: str
    size: int
    kind: Literal["file", "folder", "other"]
    open: Callable[[], IO[bytes]]


Wanted = Callable[[PurePosixPath], PurePosixPath | None]
"""From a member's path to the path to write it at, relative to the target folder; None leaves it out."""


def extract(archive: Path, into: Path, wanted: Wanted, limits: Limits) -> list[Path]:
    """Write the wanted members below `into`; returns their paths, sorted.

    Raises:
        UserError: the archive is broken, hostile or too large, or the files cannot be written. Nothing is left then.
    """
    with _explained(archive):
        with _opened(archive) as members:
            plan = _plan(archive, members, wanted, limits)
        written: list[Path] = []
        try:
            with _opened(archive) as members:
                for member in members:
                    target = plan.get(member.name)
                    if target is not None:
                        _write(member, into / target, into, written)
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    return sorted(written)


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise UserError(f"{archive} cannot be unpacked ({reason}): remove it and run again") from error


@contextmanager
def _opened(archive: Path) -> Iterator[Iterable[Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield (_zip_member(file, info) for info in file.infolist())
    else:
        with tarfile.open(archive) as file:
            yield _tar_members(file)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    regular = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
    kind: Literal["file", "folder", "other"] = "folder" if info.is_dir() else "file" if regular else "other"
    return Member(info.orig_filename, info.file_size, kind, lambda: file.open(info))


def _tar_members(file: tarfile.TarFile) -> Iterator[Member]:
    for info in file:
        yield _tar_member(file, info)
    stream = file.fileobj
    while stream is not None and stream.read(_CHUNK):
        pass  # to the very end, where a compressed stream has its checksum


def _tar_member(file: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    def opened() -> IO[bytes]:
        stream = file.extractfile(info)
        if stream is None:
            raise tarfile.ReadError(f"{info.name} holds no data")
        return stream

    return Member(info.name, info.size, "folder" if info.isdir() else "file" if info.isreg() else "other", opened)


def _plan(archive: Path, members: Iterable[Member], wanted: Wanted, limits: Limits) -> dict[str, PurePosixPath]:
    """Where each wanted member goes, by its name, after every member was looked at."""
    plan: dict[str, PurePosixPath] = {}
    taken: set[PurePosixPath] = set()
    count = total = 0
    for member in members:
        count, total = count + 1, total + member.size
        if count > limits.members or total > limits.bytes:
            raise _refusal(archive, f"it holds more than {limits.members} files or {limits.bytes} bytes")
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
            raise _refusal(archive, f"its member {member.name!r} would be written outside of the target folder")
        target = None if member.kind == "folder" else wanted(path)
        if target is None:
            continue
        if member.kind == "other":
            raise _refusal(archive, f"its member {member.name!r} is a link or a device, not a file")
        if member.name in plan or target in taken:
            raise _refusal(archive, f"it holds {member.name!r} more than once")
        plan[member.name] = target
        taken.add(target)
    return plan


def _refusal(archive: Path, reason: str) -> UserError:
    return UserError(f"{archive} is refused, nothing was unpacked: {reason}. Remove it and get it from its own site")


def _write(member: Member, target: Path, into: Path, written: list[Path]) -> None:
    if not target.resolve().is_relative_to(into.resolve()):
        raise UserError(f"{target} leads outside of {into}: remove the link and run again")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(member.open()) as stream, target.open("xb") as file:
            written.append(target)
            shutil.copyfileobj(stream, file, _CHUNK)
    if target.stat().st_size != member.size:
        raise EOFError(f"{member.name} is {target.stat().st_size} bytes, its header says {member.size}")
