"""Which photos are restored into which files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tatsnet.cli.errors import CommandError
from tatsnet.cli.restore_plan import plan
from tatsnet.photos.files import Photo

CLEAR = Photo(rgb_HWC=np.zeros((2, 2, 3), np.float32), alpha_HW=np.zeros((2, 2), np.float32))
OPAQUE = Photo(rgb_HWC=CLEAR.rgb_HWC)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a/p.jpg",
        "a/q.png",
        "a/notes.txt",
        "b/p.jpg",
        "b/P.JPG",
        "c/a/p.jpg",
        "a/p.jpg.png",
        "a/p-compare.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "output", "suffix", "expected"),
    [
        (["a/p.jpg"], "out.png", None, {"a/p.jpg": "out.png"}),
        (["a/p.jpg"], "out", None, {"a/p.jpg": "out/p.jpg"}),
        (["a/p.jpg"], "empty", ".tif", {"a/p.jpg": "empty/p.tif"}),
        (["a/q.png", "b/p.jpg"], "out", None, {"a/q.png": "out/q.png", "b/p.jpg": "out/p.jpg"}),
        (["a/*.png"], "out", ".jpg", {"a/p.jpg.png": "out/p.jpg.jpg", "a/q.png": "out/q.jpg"}),
        (["a/q.png", "a/q.png", "./a/q.png", "a/../a/q*"], "out", None, {"a/q.png": "out/q.png"}),
        (["c/**/*.jpg"], "out", None, {"c/a/p.jpg": "out/p.jpg"}),
        (["a/p.jpg", "b/p.jpg"], "out", None, {"a/p.jpg": "out/a-p.jpg", "b/p.jpg": "out/b-p.jpg"}),
        (["a/p.jpg", "c/a/p.jpg"], "out", None, {"a/p.jpg": "out/a-p.jpg", "c/a/p.jpg": "out/a-p-2.jpg"}),
    ],
)
def test_the_names(here: Path, sources: list[str], output: str, suffix: str | None, expected: dict[str, str]) -> None:
    jobs = plan(sources, Path(output), suffix, compare=False)
    assert {str(job.photo): str(job.target) for job in jobs} == expected


@pytest.mark.parametrize("suffix", [None, ".jpg", ".png"])
def test_no_two_files_meet(here: Path, suffix: str | None) -> None:
    """Whatever turns out to be transparent, and on a file system that does not tell upper from lower case."""
    jobs = plan(["a", "b", "c/a", "a/p.jpg"], Path("out"), suffix, compare=True)
    assert len(jobs) == 7
    for photos in itertools.product([CLEAR, OPAQUE], repeat=len(jobs)):
        targets = [job.target_for(photo) for job, photo in zip(jobs, photos, strict=True)]
        written = [
            path for job, target in zip(jobs, targets, strict=True) for path in (target, *job.comparisons(target))
        ]
        assert len({str(path).casefold() for path in written}) == 2 * len(jobs)


@pytest.mark.parametrize(
    ("sources", "output", "message"),
    [
        (["empty"], "out", "holds no photos"),
        (["a/*.webp"], "out", "matches no file"),
        (["a"], "a", "is one of the photos"),
        (["a/p.jpg", "b/p.jpg"], "b/../a", None),
        (["a/q.png", "b/p.jpg"], "b/../a", "is one of the photos"),
    ],
)
def test_what_is_refused(here: Path, sources: list[str], output: str, message: str | None) -> None:
    if message is None:
        assert len(plan(sources, Path(output), None, compare=False)) == len(sources)
    else:
        with pytest.raises(CommandError, match=message):
            plan(sources, Path(output), None, compare=False)


def test_photos_are_their_own_targets_only_when_asked(here: Path) -> None:
    assert [job.target for job in plan(["a/q.png", "b/p.jpg"], None, None, compare=False)] == [
        Path("a/q.png"),
        Path("b/p.jpg"),
    ]
    with pytest.raises(CommandError, match=r"p-compare.jpg is one of the photos"):
        plan(["a"], None, None, compare=True)


def test_transparency_is_never_lost_to_a_jpeg(here: Path) -> None:
    (job,) = plan(["a/p.jpg"], Path("out"), None, compare=False)
    assert job.target_for(CLEAR) == Path("out/p.jpg.png")
    assert job.target_for(OPAQUE) == Path("out/p.jpg")
