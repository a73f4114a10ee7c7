"""Fetch a file by HTTP into a cache: resumed, retried, and trusted only with the right size and sha256."""

from __future__ import annotations

import fcntl
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import UserError
from pipeline.common.files import sha256_file, writing
from pipeline.sources.progress import megabytes, transfer
from pipeline.sources.source import Report

_CHUNK = 1 << 16
_WORTH = 1 << 20  # bytes gained that make a broken connection no failure
_LONG = 100_000_000  # bytes whose sha256 takes a noticeable time
_PASSING = (408, 416, 425, 429, 500, 502, 503, 504)  # answers that a later attempt may not get


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on a web server, and what it must be: its length in bytes and its sha256."""

    url: str
    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError(f"url must begin with https:// or http://, got {self.url!r}")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to try: failures in a row, seconds without a byte, seconds before the first retry (then doubled)."""

    attempts: int = 4
    timeout: float = 30.0
    pause: float = 1.0


PATIENCE = Patience()


def download(remote: Remote, cache: Path, report: Report, patience: Patience = PATIENCE) -> Path:
    """The verified file in the cache; downloaded there if it is not.

    What came before an interruption stays as NAME.part and is resumed. A file with a wrong checksum, be it fresh or
    found in the cache, is renamed to NAME.wrong, so that no later run takes it for the right one.

    Raises:
        UserError: the server cannot be reached or refuses, the file there is another one, or the disk is full.
    """
    target = cache / remote.name
    part = cache / f"{remote.name}.part"
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent, report):
        if target.exists():
            if remote.bytes > _LONG:
                report(f"checking the sha256 of {target}")
            if _wrong(target, remote) is None:
                return target
            os.replace(target, _aside(target))
            report(f"{target} has a wrong checksum: set aside as {_aside(target).name}, downloading it anew")
        _require_space(part, remote)
        resumed = part.exists()
        _complete(remote, part, report, patience)
        if resumed and _wrong(part, remote) is not None:
            report(f"{remote.name}: what an earlier run left does not fit, downloading it anew")
            part.unlink()
            _complete(remote, part, report, patience)
        problem = _wrong(part, remote)
        if problem is not None:
            os.replace(part, _aside(target))
            raise UserError(
                f"{remote.url} is not the expected file: {problem}. It was set aside as {_aside(target)}. "
                f"The server may have changed it, or a proxy; get the right file and put it at {target}"
            )
        os.replace(part, target)
    return target


def _aside(target: Path) -> Path:
    return target.with_name(f"{target.name}.wrong")


def _wrong(path: Path, remote: Remote) -> str | None:
    size = path.stat().st_size
    if size != remote.bytes:
        return f"{size} bytes, expected {remote.bytes}"
    got = sha256_file(path)
    return None if got == remote.sha256 else f"sha256 {got}, expected {remote.sha256}"


def _require_space(part: Path, remote: Remote) -> None:
    needed = remote.bytes - _size(part)
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise UserError(
            f"{remote.name} needs {megabytes(needed)} more in {part.parent}, only {megabytes(free)} are free: "
            "free some space, or set data.cache to a folder on another disk"
        )


@contextmanager
def _alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold the folder's lock, so that two runs do not write the same part; the second waits for the first."""
    lock = folder / ".lock"
    with writing(lock):
        file = lock.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another run that downloads into {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            report(f"{folder} cannot be locked on this file system: keep other runs from downloading into it")
        yield


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _complete(remote: Remote, part: Path, report: Report, patience: Patience) -> None:
    """Fetch until the part has its full length, over as many connections as it takes."""
    failures = 0
    while (have := _size(part)) < remote.bytes:
        try:
            _append(remote, part, have, patience.timeout, report)
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            if error.code not in _PASSING:
                raise UserError(f"cannot download {remote.url}: {problem}. {_by_hand(remote, part)}") from error
            if error.code == 416:
                part.unlink(missing_ok=True)
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        gained = _size(part) - have
        if gained + have == remote.bytes:
            return
        failures = 0 if gained >= _WORTH else failures + 1
        if failures >= patience.attempts:
            raise UserError(
                f"cannot download {remote.url}: {problem} ({failures} attempts). Check the connection and run again, "
                f"it goes on where it stopped. {_by_hand(remote, part)}"
            )
        wait = patience.pause * 2 ** max(failures - 1, 0)
        report(f"{remote.name}: {problem}; trying again in {wait:g} s")
        time.sleep(wait)


def _by_hand(remote: Remote, part: Path) -> str:
    return f"Or get the file elsewhere and put it at {part.with_name(remote.name)}"


def _append(remote: Remote, part: Path, have: int, timeout: float, report: Report) -> None:
    """Write one connection's bytes behind the first `have` ones, or from the start where the server cannot resume."""
    headers = {"User-Agent": "tatsnet", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urllib.request.urlopen(urllib.request.Request(remote.url, headers=headers), timeout=timeout) as response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise http.client.HTTPException("the server resumes at another place than asked")
        done = have if resumed else 0
        told = transfer(remote.name, remote.bytes, report, done)
        length = response.headers.get("Content-Length")
        if length is not None and done + int(length) != remote.bytes:
            raise UserError(
                f"{remote.url} is not the expected file: {done + int(length)} bytes, expected {remote.bytes}. "
                f"The server may have changed it, or a proxy answered in its place. {_by_hand(remote, part)}"
            )
        with writing(part), part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(min(_CHUNK, remote.bytes + 1 - done)):
                file.write(chunk)
                done += len(chunk)
                told(done)
