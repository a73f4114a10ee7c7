"""Files that the stages hand to each other: written whole or not at all, listed with their sha256."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.common.errors import UserError
from tatsnet.system.replacing import write_atomically

MANIFEST = "manifest.json"
MOST_JSON = 2**30
"""Bytes of a JSON file; a study of a million trials has as many."""

_CHUNK = 1 << 20
_FULL = {  # never the answer to a read
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EFBIG: "the file is larger than the file system or the process may write: use another disk",
    errno.EROFS: "the file system is read-only: choose a folder that can be written to",
}
_ELSEWHERE = {
    errno.EMFILE: "too many files are open at once: raise the limit, as with `ulimit -n 4096`, and run again",
    errno.ENFILE: "too many files are open on this machine: end other programs and run again",
    errno.ENAMETOOLONG: "the path is too long for this file system: use a folder with a shorter one",
    errno.EIO: "the disk, or the way to it, has failed: look at it, then run again",
    errno.ESTALE: "the disk, or the way to it, has failed: look at it, then run again",
    errno.ENOENT: "it is missing: put it back, or run `dvc repro`, which makes anew what a stage makes",
    errno.ENOMEM: "the memory is used up: end other programs and run again",
    errno.ETIMEDOUT: "a server does not answer: look at it, then run again",
    errno.ECONNREFUSED: "nothing listens there: start the server, then run again",
}
_REFUSED = {
    errno.EACCES: "there is no permission to write there: change it, or choose another folder",
    errno.EPERM: "there is no permission to write there: change it, or choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: move it away",
    errno.EEXIST: "a part of the path is a file, not a folder: move it away",
    errno.EISDIR: "there is a folder of that name: move it away",
}


def advice_for(number: int | None) -> str:
    """What a user can do about an error of the system, by its number."""
    advice = _FULL | _REFUSED | _ELSEWHERE
    return advice.get(number or 0, "look at the file, its disk and its permissions, then run the same command again")


@contextmanager
def writing(path: Path, advice: Mapping[int, str] = _FULL | _REFUSED) -> Iterator[None]:
    """Turn what a user can mend about a failed write (full disk, read-only, no permission) into a UserError.

    Args:
        path: named in the message as what could not be written.
        advice: what to do, by the number of the system error.

    Raises:
        UserError: for the errors in `advice`; every other one passes through unchanged.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number not in advice:
            raise
        raise UserError(f"cannot write {path} ({error.strerror}): {advice[number]}") from error


def sha256_file(path: Path) -> str:
    """Lower-case hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """`write_atomically`, whose errors become a UserError: the disk is full, read-only, or there is no permission."""
    with writing(path):
        write_atomically(path, data)


def atomic_write_text(path: Path, text: str) -> None:
    """`atomic_write_bytes` of UTF-8 text; line ends stay as they are."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: Path, value: Any) -> None:
    """`atomic_write_bytes` of indented JSON with a final newline.

    Raises:
        ValueError: NaN or an infinity, which JSON cannot hold.
        UserError: as `atomic_write_bytes`.
    """
    atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, hint: str = "") -> Any:
    """The value in a JSON file.

    Args:
        hint: what the user should do when it cannot be read, as "run the stage again: dvc repro search".

    Raises:
        UserError: the file is missing, cannot be read, or is not JSON.
    """
    advice = f": {hint}" if hint else ""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_JSON + 1)
        if len(data) > MOST_JSON:
            raise ValueError(f"more than {MOST_JSON // 2**20} MiB")
        return json.loads(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing{advice}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}){advice}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}){advice}") from error


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """A new, empty folder that takes the place of `path` when the block ends well.

    The block writes into a hidden sibling. On any exception, an interrupt too, the sibling is removed and `path` is as
    it was. A process killed outright leaves the sibling behind: nobody reads it, and the next call tidies it up. One
    writer per path at a time.

    Raises:
        UserError: the folder cannot be made or swapped in, or the disk filled up while the block wrote.
    """
    path = Path(os.path.realpath(path))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        temporary.mkdir()
    try:
        with writing(path, _FULL):
            yield temporary
        with writing(path):
            _swap(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _tidy(path: Path) -> None:
    """Put back what a kill in the middle of `_swap` moved away, remove what earlier kills left."""
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.(tmp|old)")
    for sibling in [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]:
        if sibling.suffix == ".old" and not path.exists():
            os.rename(sibling, path)
        else:
            _remove(sibling)


def _swap(new: Path, path: Path) -> None:
    old = new.with_suffix(".old")
    with suppress(FileNotFoundError):
        os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.rename(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes; missing parent folders are made. Not atomic: for use inside `fresh_folder`.

    Raises:
        UserError: `source` cannot be read, or `target` cannot be written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _reading(source) as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK)


def _reading(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check that it is there and may be read") from error


@dataclass(frozen=True)
class Entry:
    """One file of a manifest: its path below the folder with forward slashes, its size in bytes, its sha256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, sorted by path."""

    files: tuple[Entry, ...]

    @property
    def dataset_sha256(self) -> str:
        """One name for the whole content: sha256 of the lines `sha256  path`, as sha256sum prints them."""
        lines = "".join(f"{entry.sha256}  {entry.path}\n" for entry in self.files)
        return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def write_manifest(folder: Path) -> Manifest:
    """List every file below a folder in its `manifest.json`.

    Raises:
        UserError: the manifest cannot be written.
    """
    manifest = Manifest(files=tuple(_entry(folder, path) for path in _files(folder)))
    files = [asdict(entry) for entry in manifest.files]
    atomic_write_json(folder / MANIFEST, {"dataset_sha256": manifest.dataset_sha256, "files": files})
    return manifest


def verify_manifest(folder: Path, hint: str = "") -> Manifest:
    """The manifest of a folder, after every file was compared with it.

    Args:
        hint: what the user should do when they differ, as "run the stage again: dvc repro --force download".

    Raises:
        UserError: the manifest is missing or broken, or a file is missing, changed or not listed.
    """
    path = folder / MANIFEST
    data = read_json(path, hint)
    advice = f": {hint}" if hint else ""
    try:
        listed = Manifest(files=tuple(Entry(f["path"], f["bytes"], f["sha256"]) for f in data["files"]))
        whole = data["dataset_sha256"] == listed.dataset_sha256
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a manifest ({error!r}){advice}") from error
    if not whole:
        raise UserError(f"{path} was changed: its dataset_sha256 is not that of its files{advice}")
    found = {name.relative_to(folder).as_posix() for name in _files(folder)}
    problems = [f"{name} is not listed" for name in sorted(found - {entry.path for entry in listed.files})]
    for entry in listed.files:
        if entry.path not in found:
            problems.append(f"{entry.path} is missing")
        elif _entry(folder, folder / entry.path) != entry:
            problems.append(f"{entry.path} was changed")
    if problems:
        raise UserError(f"{folder} does not match its {MANIFEST}: {some_of(problems)}{advice}")
    return listed


def some_of(items: Sequence[str], most: int = 8) -> str:
    """The first few of a list for a message, with the number of those left out."""
    rest = f"; and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + rest


def _files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _entry(folder: Path, path: Path) -> Entry:
    return Entry(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_file(path))
