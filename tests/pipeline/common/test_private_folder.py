"""A search's own Ray keeps its files where no other account can reach them, and where its sockets fit."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.common.private_folder import LONGEST, PrivateFolder, short_base


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a short path."""
    with tempfile.TemporaryDirectory(prefix="b", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_it_is_this_user_s_alone_and_goes(base: Path) -> None:
    folder = PrivateFolder()
    assert folder.path.parent == base
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.remove()
    assert not list(base.iterdir())


def test_a_long_path_is_avoided(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = base / ("x" * LONGEST)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert len(str(short_base())) <= LONGEST


@pytest.mark.parametrize("others", [(), ("/nowhere",), ("/tmp/" + "x" * LONGEST,)])
def test_where_no_path_will_do_it_says_what_to_set(
    base: Path, monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(base / "none"))
    with pytest.raises(UserError, match="set TMPDIR"):
        short_base(others)


def test_what_a_killed_process_left_is_removed_and_what_another_holds_stays(base: Path) -> None:
    code = "from pipeline.common.private_folder import PrivateFolder as F; f = F(); print(f.path, flush=True); input()"
    environment = os.environ | {"TMPDIR": str(base)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().strip())
        PrivateFolder().remove()
        assert held.is_dir()
        other.send_signal(signal.SIGKILL)
    (base / "tatsnet-box-12345678").mkdir()
    PrivateFolder().remove()
    assert [path.name for path in base.iterdir()] == ["tatsnet-box-12345678"]
