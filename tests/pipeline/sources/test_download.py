"""A download ends with the right bytes, or with a message and nothing that a later run would trust."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.download import Patience, Remote, download
from tests.pipeline.sources.disk import everything, largest_file, mounted
from tests.pipeline.sources.web import Fault, Site, served

DATA = os.urandom(5 << 20)
QUICK = Patience(attempts=3, timeout=2.0, pause=0.01)
ONCE = replace(QUICK, attempts=1)


def names(cache: Path) -> list[str]:
    return sorted(name for name in os.listdir(cache) if name != ".lock")


def quiet(_: str) -> None:
    pass


def test_file_arrives_once_and_is_used_from_then_on(site: Site, tmp_path: Path) -> None:
    remote = site.remote("deep/file.zip", DATA)
    path = download(remote, tmp_path / "new" / "cache", quiet, QUICK)
    assert path == tmp_path / "new" / "cache" / "file.zip"
    assert path.read_bytes() == DATA
    assert download(remote, tmp_path / "new" / "cache", quiet, QUICK) == path
    assert site.asked == [("/deep/file.zip", None)]
    assert names(path.parent) == ["file.zip"]


@pytest.mark.parametrize(
    ("faults", "asked"),
    [
        ([Fault(cut=300_000)], [None, "bytes=300000-"]),
        ([Fault(cut=300_000), Fault(deaf=True)], [None, "bytes=300000-"]),
        ([Fault(cut=300_000), Fault(shift=5)], [None, "bytes=300000-", None]),
        ([Fault(cut=300_000, unmeasured=True)], [None, "bytes=300000-"]),
        ([Fault(status=503), Fault(status=429)], [None, None, None]),
        ([Fault(cut=300_000), Fault(status=416)], [None, "bytes=300000-", None]),
        ([Fault(unmeasured=True)], [None]),
        ([Fault(cut=1_500_000)] * 3, [None, "bytes=1500000-", "bytes=3000000-", "bytes=4500000-"]),
    ],
    ids=["cut", "deaf", "shifted", "unmeasured-cut", "busy", "refused-range", "unmeasured", "often"],
)
def test_broken_connections_are_resumed(
    site: Site, tmp_path: Path, faults: list[Fault], asked: list[str | None]
) -> None:
    remote = site.remote("file", DATA)
    site.faults.extend(faults)
    patience = QUICK if len(asked) < 4 else replace(QUICK, attempts=1)
    assert download(remote, tmp_path, quiet, patience).read_bytes() == DATA
    assert names(tmp_path) == ["file"]
    assert [wanted for _, wanted in site.asked] == asked


def test_giving_up_keeps_what_came(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    site.faults.extend([Fault(cut=300_000), Fault(cut=0)])
    with pytest.raises(UserError, match=r"the connection ended early \(2 attempts\).*goes on where it stopped"):
        download(remote, tmp_path, quiet, replace(QUICK, attempts=2))
    assert names(tmp_path) == ["file.part"]
    assert (tmp_path / "file.part").read_bytes() == DATA[:300_000]


def test_interrupted_run_is_resumed_by_the_next(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    site.faults.append(Fault(cut=400_000))

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote, tmp_path, interrupt, QUICK)
    assert names(tmp_path) == ["file.part"]
    assert download(remote, tmp_path, quiet, QUICK).read_bytes() == DATA
    assert site.asked[-1] == ("/file", "bytes=400000-")


@pytest.mark.parametrize("left", [b"not what the server has", os.urandom(len(DATA)), DATA + b"more"])
def test_spoiled_part_is_healed(site: Site, tmp_path: Path, left: bytes) -> None:
    remote = site.remote("file", DATA)
    (tmp_path / "file.part").write_bytes(left)
    assert download(remote, tmp_path, quiet, QUICK).read_bytes() == DATA
    assert site.asked[-1] == ("/file", None)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("spoiled", [DATA[:-1] + bytes([DATA[-1] ^ 1]), DATA[:1000], b""])
def test_spoiled_cache_is_set_aside(site: Site, tmp_path: Path, spoiled: bytes) -> None:
    remote = site.remote("file", DATA)
    (tmp_path / "file").write_bytes(spoiled)
    lines: list[str] = []
    assert download(remote, tmp_path, lines.append, QUICK).read_bytes() == DATA
    assert (tmp_path / "file.wrong").read_bytes() == spoiled
    assert "wrong checksum" in lines[0]


@pytest.mark.parametrize("unmeasured", [False, True])
def test_wrong_checksum_is_told_and_never_trusted(site: Site, tmp_path: Path, unmeasured: bool) -> None:
    wrong = os.urandom(len(DATA))
    remote = site.remote("file", DATA, served=wrong)
    site.faults.append(Fault(unmeasured=unmeasured))
    with pytest.raises(UserError, match=f"sha256 [0-9a-f]{{64}}, expected {remote.sha256}") as caught:
        download(remote, tmp_path, quiet, QUICK)
    assert str(tmp_path / "file") in str(caught.value)
    assert names(tmp_path) == ["file.wrong"]
    site.files["/file"] = DATA
    assert download(remote, tmp_path, quiet, QUICK).read_bytes() == DATA


@pytest.mark.parametrize("unmeasured", [False, True])
@pytest.mark.parametrize("page", [b"<html>log in first</html>", DATA + b"x"])
def test_another_length_is_told(site: Site, tmp_path: Path, page: bytes, unmeasured: bool) -> None:
    remote = site.remote("file", DATA, served=page)
    site.faults.extend([Fault(unmeasured=unmeasured)] * 9)
    with pytest.raises(UserError):
        download(remote, tmp_path, quiet, QUICK)
    assert not (tmp_path / "file").exists()
    site.files["/file"] = DATA
    site.faults.clear()
    assert download(remote, tmp_path, quiet, QUICK).read_bytes() == DATA


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3), (503, 3)])
def test_refusals_are_told_after_a_bounded_number_of_attempts(
    site: Site, tmp_path: Path, status: int, requests: int
) -> None:
    remote = site.remote("file", DATA)
    site.faults.extend([Fault(status=status)] * 9)
    with pytest.raises(UserError, match=rf"cannot download {re.escape(remote.url)}: the server answers {status}"):
        download(remote, tmp_path, quiet, QUICK)
    assert len(site.asked) == requests


def test_unreachable_server_is_told(tmp_path: Path) -> None:
    with served() as site:
        remote = site.remote("file", DATA)
    lines: list[str] = []
    with pytest.raises(UserError, match=r"refused.*\(3 attempts\).*put it at .*file"):
        download(remote, tmp_path, lines.append, QUICK)
    assert len(lines) == 2


def test_silent_server_does_not_hang(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    site.faults.append(Fault(silent=True))
    start = time.monotonic()
    with pytest.raises(UserError, match="timed out"):
        download(remote, tmp_path, quiet, replace(ONCE, timeout=0.2))
    assert time.monotonic() - start < 5


def test_too_little_space_is_told_before_the_download(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    with mounted(tmp_path / "disk") as disk:
        with pytest.raises(UserError, match=r"file needs 5\.2 MB more in .*, only 0\.1 MB are free: .*data\.cache"):
            download(remote, disk, quiet, QUICK)
        assert names(disk) == []
    assert site.asked == []


def test_disk_that_fills_up_is_told(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    with largest_file(1 << 20), pytest.raises(UserError, match=r"cannot write .*file\.part"):
        download(remote, tmp_path, quiet, QUICK)
    assert names(tmp_path) == ["file.part"]
    assert download(remote, tmp_path, quiet, QUICK).read_bytes() == DATA


def test_two_runs_at_once_share_one_download(site: Site, tmp_path: Path) -> None:
    remote = site.remote("file", DATA)
    site.faults.append(Fault(cut=100_000))
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(download(remote, tmp_path, quiet, QUICK))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "file"] * 3
    assert paths[0].read_bytes() == DATA
    assert len(site.asked) == 2


def test_nothing_is_written_elsewhere(site: Site, tmp_path: Path) -> None:
    download(site.remote("file", b"abc"), tmp_path / "cache", quiet, QUICK)
    assert everything(tmp_path) == {"cache": None, "cache/.lock": b"", "cache/file": b"abc"}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", ""])
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        Remote(url=url, name="file", bytes=1, sha256="")
