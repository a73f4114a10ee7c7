"""The memory that is there: the machine's, a container's, a session's; and what is refused because of it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import psutil
import pytest
from PIL import Image

from tatsnet.photos.decoded import memory_of
from tatsnet.photos.files import PhotoError, read_photo
from tatsnet.system import memory
from tatsnet.system.memory import RESERVE, NotEnoughMemoryError, available, check_memory, size

GIB = 2**30


def group(folder: Path, limit: str, used: int, inactive: int, *, first: bool) -> None:
    """A control group's files, of version 1 or 2."""
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    key = "total_inactive_file" if first else "inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {inactive}\n")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("outer", "inner", "left"),
    [
        ("max", str(GIB), GIB - 100),
        (str(GIB), "max", GIB - 100),
        (str(GIB), str(2 * GIB), GIB - 100),
        (str(2 * GIB), str(GIB), GIB - 100),
        (str(GIB), "200", 100),
        (str(GIB), "50", 0),
    ],
)
def test_every_group_around_the_process_counts(
    first: bool, outer: str, inner: str, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cgroup" / "memory" if first else tmp_path / "cgroup"
    outer, inner = ("9223372036854771712" if first and limit == "max" else limit for limit in (outer, inner))
    group(root / "box", outer, 150, 50, first=first)
    group(root / "box" / "job", inner, 150, 50, first=first)
    own = tmp_path / "own"
    own.write_text("7:cpu,cpuacct:/box/job\n4:memory:/box/job\n" if first else "0::/box/job\n")
    monkeypatch.setattr(memory, "RESERVE", 0)
    assert available(tmp_path / "cgroup", own) == left


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    """Version 1 names the group as the host does, but shows it at the root."""
    group(tmp_path / "memory", str(GIB), 0, 0, first=True)
    own = tmp_path / "own"
    own.write_text("4:memory:/docker/0123abcd\n")
    assert available(tmp_path, own) == GIB - RESERVE


def test_without_groups_the_machine_counts(tmp_path: Path) -> None:
    free = available(tmp_path / "none", tmp_path / "none")
    assert 0 <= free <= psutil.virtual_memory().total


@pytest.mark.parametrize("error", [OSError(2, "no /proc"), psutil.AccessDenied(), RuntimeError("unexpected line")])
def test_a_system_that_does_not_say_is_no_reason_to_refuse(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(psutil, "virtual_memory", fail)
    monkeypatch.setattr(psutil.Process, "memory_info", fail)
    assert available(tmp_path / "none", tmp_path / "none") > 2**60


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_limit_on_the_address_space_counts() -> None:
    code = (
        "import resource; from tatsnet.system.memory import available; "
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); print(available())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < GIB


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0.0 MiB"), (2**20, "1.0 MiB"), (GIB - 1, "1024.0 MiB"), (3 * GIB // 2, "1.5 GiB")]
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_what_does_not_fit_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: GIB)
    check_memory(GIB, "it")
    with pytest.raises(NotEnoughMemoryError, match=r"it takes about 2\.0 GiB, and 1\.0 GiB are free; make it smaller"):
        check_memory(2 * GIB, "it")


def flat(kind: str, side: int) -> bytes:
    buffer = io.BytesIO()
    options = {"progressive": True, "quality": 30} if kind == "JPEG" else {}
    Image.fromarray(np.full((side, side, 3), 90, np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photo_that_the_memory_does_not_hold_is_refused_unread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is in its head, so nothing of it need be unpacked."""
    (tmp_path / "a").write_bytes(flat(kind, 1500))
    monkeypatch.setattr(memory, "available", lambda: memory_of(1500, 1500) - 1)
    with pytest.raises(PhotoError, match=r"a: not enough memory: a photo of 1500x1500 pixels takes about 70\.8 MiB"):
        read_photo(tmp_path / "a")
    monkeypatch.setattr(memory, "available", lambda: memory_of(1500, 1500))
    assert read_photo(tmp_path / "a").rgb_HWC.shape == (1500, 1500, 3)


def test_a_file_that_the_memory_does_not_hold_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(2**42)
    with pytest.raises(PhotoError, match="not enough memory: a file of 4398047 MB"):
        read_photo(tmp_path / "a.jpg")
