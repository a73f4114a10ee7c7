"""The sample photos are those that were pinned, wherever the packages lie."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.common.errors import UserError
from pipeline.sources.sample import SAMPLES, Sample, SampleSource


def test_packages_are_found_without_being_imported() -> None:
    code = (
        "import sys, tempfile\n"
        "from pathlib import Path\n"
        "from pipeline.sources.sample import SampleSource\n"
        "SampleSource().fetch(Path(tempfile.mkdtemp()), print)\n"
        "print(sorted({'skimage', 'sklearn', 'matplotlib', 'numpy', 'torch'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["8 sample photos from installed packages", "[]"]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (replace(SAMPLES[0], sha256="0" * 64), r"astronaut\.png is not the pinned one .*scikit-image$"),
        (replace(SAMPLES[-1], name="rose.jpg"), r"rose\.jpg is missing: .*scikit-learn$"),
        (Sample("train", "no_such_package/data", "a.png", ""), r"package no_such_package, which is not installed"),
    ],
)
def test_another_or_no_photo_is_told(tmp_path: Path, sample: Sample, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SampleSource(samples=(sample,)).fetch(tmp_path, lambda line: None)
    assert list(tmp_path.rglob("*.*")) == []
