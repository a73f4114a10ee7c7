"""What never ends, or leads nowhere, is refused by every command before it fills the memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tatsnet.pruned.extraction import extract
from tests.tatsnet.networks import frozen_network

ENDLESS = Path("/dev/zero")

pytestmark = pytest.mark.skipif(not ENDLESS.exists(), reason="this system has no file without an end")

CODE = """
import json, resource, sys
from tatsnet.cli import main
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
print(json.dumps([main(given) for given in json.loads(sys.argv[1])]))
"""


def commands(wrong: str, photo: str, model: str, folder: Path) -> list[list[str]]:
    """Every command that reads or writes a file that is named, with `wrong` in its place."""
    out, run = str(folder / "out"), ["--model", model, "--runtime", "torch"]
    return [
        ["restore", wrong, "-o", f"{out}.png", *run],
        ["restore", photo, "-o", f"{out}.png", "--model", wrong],
        ["effects", wrong, "-o", out, "--levels", "1", *run],
        ["effects", photo, "-o", wrong, "--levels", "1", *run],
        ["demo", wrong, "--no-browser", *run],
        ["export", wrong, "-o", out],
        ["export", model, "-o", wrong],
        ["flops", "--model", wrong],
        ["bench", "--quick", "--model", wrong],
        ["bench", "--quick", "--pattern", wrong],
        ["sliders", wrong, str(folder)],
        ["extract", wrong, "-o", out],
        ["extract", str(folder), "-o", wrong],
        ["train", "dense", wrong, "-o", out, "--iterations", "1"],
        ["train", "dense", str(folder), "-o", wrong, "--iterations", "1"],
    ]


def test_every_command_says_so_in_one_line(tmp_path: Path) -> None:
    Image.effect_noise((14, 11), 60).convert("RGB").save(tmp_path / "photo.png")
    model = extract(frozen_network(4), tmp_path / "net", [(0.0, 0.0, 0.0)]).folder
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for wrong in (ENDLESS, tmp_path / "loop"):
        given = commands(str(wrong), str(tmp_path / "photo.png"), str(model), tmp_path)

        done = subprocess.run(
            [sys.executable, "-c", CODE, json.dumps(given)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [2] * len(given), done.stderr
        said = [line for line in done.stderr.splitlines() if not line.startswith("tatsnet: note: ")]
        assert len(said) == len(given)
        assert all(line.startswith("tatsnet: ") for line in said)
