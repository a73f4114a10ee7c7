from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

MACHINE_PATH = re.compile(r"(?<![\w./~])/(?:home|root|Users|work|opt|mnt|scratch)/\w")
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
SHIPPED = {Path("tatsnet/demo/page/sample.jpg")}
"""Photos that the package needs: the demo's sample, of scikit-image (CC0)."""
LARGEST = 2 * 2**20


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    command = ["git", "-C", str(root), "ls-files", "-z"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("not a git repository")
    return [path for name in result.stdout.split("\0") if name and (path := root / name).is_file()]


def test_no_machine_s_paths(root: Path, tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        text = path.read_bytes().decode("utf-8", errors="ignore") if path.suffix not in IMAGES else ""
        found += [f"{path.relative_to(root)}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert not found


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("open('/HOME/ann/x')", True), ("-o /HOME/tool/x", True), ("https://x.org/HOME/page", False), ("~/HOME/x", False)],
)
@pytest.mark.parametrize("top", ["home", "root", "opt"])
def test_what_counts_as_a_machine_s_path(text: str, is_one: bool, top: str) -> None:
    assert bool(MACHINE_PATH.search(text.replace("HOME", top))) is is_one


def test_no_large_file(root: Path, tracked: list[Path]) -> None:
    assert not [path.relative_to(root) for path in tracked if path.stat().st_size > LARGEST]


def test_no_image_outside_docs(root: Path, tracked: list[Path]) -> None:
    names = [path.relative_to(root) for path in tracked]
    assert not [
        name for name in names if name.suffix.lower() in IMAGES and name.parts[0] != "docs" and name not in SHIPPED
    ]


def test_outputs_are_not_tracked(root: Path, tracked: list[Path]) -> None:
    outputs = {"data", "models", "search", "reports", ".state", ".venv", "mlruns"}
    assert not [path for path in tracked if path.relative_to(root).parts[0] in outputs]
